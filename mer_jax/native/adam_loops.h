// The loop of adam.h for one instruction set, included by conv_pool_loops.h. The compiler makes vectors of it.

void adam_row(const Adam& a, const float* __restrict gradient, float* __restrict weight, float* __restrict mean,
              float* __restrict square, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i];
    const float m = a.new_mean * g + a.old_mean * mean[i];
    const float v = a.new_square * (g * g) + a.old_square * square[i];
    mean[i] = m;
    square[i] = v;
    weight[i] -= a.step * m / (std::sqrt(v * a.unbias_square) + a.epsilon) + a.decay * weight[i];
  }
}
