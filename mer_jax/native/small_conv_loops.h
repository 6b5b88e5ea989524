// The loops of small_conv.h for one instruction set; included by conv_pool_loops.h, whose vectors and convolution they
// use. A row of the convolution is computed, used and forgotten; the backward pass computes it again, which takes less
// time than to store and load it, and gives the same bits.

namespace small {

inline Vec zero_below(Vec y) {
  const IVec off = y <= 0;
  return off ? Vec{} : y;
}

// One row of relu(convolution + bias): [wc][V * kLanes].
template <int V>
void convolve_relu(const Small& s, const Sizes& clip, const float* x, const float* weight, const float* bias,
                   float* row) {
  constexpr int kTile = V == 2 ? MER_TILE : 2 * MER_TILE;
  if (s.c == 1)
    convolve_row<kTile, V, 1>(clip, x, weight, row, s.wc());
  else if (s.c == 3)
    convolve_row<kTile, V, 3>(clip, x, weight, row, s.wc());
  else
    convolve_row<kTile, V, 0>(clip, x, weight, row, s.wc());
  Vec b[V];
  for (int v = 0; v < V; ++v) b[v] = load(bias + v * kLanes);
  for (int64_t i = 0; i < s.wc(); ++i)
    for (int v = 0; v < V; ++v) {
      float* at = row + (i * V + v) * kLanes;
      store(at, zero_below(load(at) + b[v]));
    }
}

// Row of windows that a row of the convolution belongs to, or -1.
inline int64_t window_row(const Small& s, int64_t r) {
  const int64_t h2 = (r + s.pool_top) / s.ph;
  return h2 < s.h2 ? h2 : -1;
}

// Numbers of one block of filters, padded to whole vectors.
inline void take(const float* from, int64_t number, int64_t width, float* to) {
  std::copy_n(from, number, to);
  std::fill(to + number, to + width, 0.0f);
}

template <int V>
void forward_block(const Small& s, const float* x, const float* weight, const float* bias, const float* sign,
                   float* out, uint8_t* place, double* sums, int64_t first, Scratch& scratch) {
  constexpr int64_t width = V * kLanes;
  const Sizes clip = s.as_clip();
  const int64_t wc = s.wc(), filters = std::min<int64_t>(width, s.d - first);
  scratch.floats.resize((wc + 2 * s.w2 + 2) * width);
  scratch.ints.resize(s.w2 * width);
  float* row = scratch.floats.data();
  float* best = row + wc * width;        // the highest key of every window so far,
  float* value = best + s.w2 * width;    // its value
  int32_t* at = scratch.ints.data();     // and its place
  float* b = value + s.w2 * width;
  float* sg = b + width;
  take(bias + first, filters, width, b);
  take(sign + first, filters, width, sg);
  double total[2][width] = {};
  for (int64_t r = 0; r < s.hc(); ++r) {
    convolve_relu<V>(s, clip, x + r * s.wp * s.c, weight, b, row);
    if (sums) {
      Vec sum[V] = {}, square[V] = {};
      for (int64_t i = 0; i < wc; ++i)
        for (int v = 0; v < V; ++v) {
          const Vec z = load(row + (i * V + v) * kLanes);
          sum[v] += z;
          square[v] += z * z;
        }
      for (int v = 0; v < V; ++v)
        for (int64_t i = 0; i < kLanes; ++i) {
          total[0][v * kLanes + i] += sum[v][i];
          total[1][v * kLanes + i] += square[v][i];
        }
    }
    const int64_t h2 = window_row(s, r);
    if (h2 < 0) continue;
    const int64_t above = r + s.pool_top - h2 * s.ph;  // rows of the window before this one
    if (above == 0 || r == 0) {
      std::fill(best, best + s.w2 * width, -std::numeric_limits<float>::infinity());
      std::fill(value, value + s.w2 * width, 0.0f);
      std::fill(at, at + s.w2 * width, 0);
    }
    for (int64_t w2 = 0; w2 < s.w2; ++w2) {
      const int64_t left = w2 * s.pw - s.pool_left;
      const int64_t begin = std::max<int64_t>(left, 0), end = std::min(left + s.pw, wc);
      for (int v = 0; v < V; ++v) {
        const int64_t to = (w2 * V + v) * kLanes;
        const Vec factor = load(sg + v * kLanes);
        Vec top = load(best + to), held = load(value + to);
        IVec where;
        std::memcpy(&where, at + to, sizeof where);
        for (int64_t i = begin; i < end; ++i) {
          const Vec z = load(row + (i * V + v) * kLanes), key = z * factor;
          const IVec wins = (key > top) | (key != key);  // the first of equal keys stays
          top = wins ? key : top;
          held = wins ? z : held;
          where = wins ? IVec{} + static_cast<int32_t>(above * s.pw + i - left) : where;
        }
        store(best + to, top);
        store(value + to, held);
        std::memcpy(at + to, &where, sizeof where);
      }
    }
    if (above + 1 == s.ph || r + 1 == s.hc())
      for (int64_t w2 = 0; w2 < s.w2; ++w2) {
        const int64_t to = (h2 * s.w2 + w2) * s.d + first;
        std::copy_n(value + w2 * width, filters, out + to);
        for (int64_t i = 0; i < filters; ++i) place[to + i] = static_cast<uint8_t>(at[w2 * width + i]);
      }
  }
  if (sums)
    for (int64_t i = 0; i < filters; ++i) {
      sums[first + i] += total[0][i];
      sums[s.d + first + i] += total[1][i];
    }
}

// Calls `use(r, gradient)` with the gradient [wc][V * kLanes] at each row of the convolution before the ReLU.
template <int V, typename Use>
void gradient_rows(const Small& s, const float* x, const float* weight, const float* bias, const uint8_t* place,
                   const float* out_bar, const float* sums_bar, int64_t first, Scratch& scratch, const Use& use) {
  constexpr int64_t width = V * kLanes;
  const Sizes clip = s.as_clip();
  const int64_t wc = s.wc(), filters = std::min<int64_t>(width, s.d - first);
  scratch.floats.resize((wc + s.w2 + 3) * width);
  scratch.ints.resize(s.w2 * width);
  float* row = scratch.floats.data();
  float* gain = row + wc * width;     // cotangents of a row of windows
  int32_t* at = scratch.ints.data();  // and the places of their maxima
  float* b = gain + s.w2 * width;
  float* of_sum = b + width;
  float* of_square = of_sum + width;
  take(bias + first, filters, width, b);
  take(sums_bar ? sums_bar + first : b, sums_bar ? filters : 0, width, of_sum);
  take(sums_bar ? sums_bar + s.d + first : b, sums_bar ? filters : 0, width, of_square);
  std::fill(gain, gain + s.w2 * width, 0.0f);
  std::fill(at, at + s.w2 * width, 0);
  for (int64_t r = 0; r < s.hc(); ++r) {
    convolve_relu<V>(s, clip, x + r * s.wp * s.c, weight, b, row);
    const int64_t h2 = window_row(s, r);
    const int64_t above = r + s.pool_top - h2 * s.ph;
    if (h2 >= 0 && (above == 0 || r == 0))
      for (int64_t w2 = 0; w2 < s.w2; ++w2) {
        const int64_t from = (h2 * s.w2 + w2) * s.d + first;
        std::copy_n(out_bar + from, filters, gain + w2 * width);
        for (int64_t i = 0; i < filters; ++i) at[w2 * width + i] = static_cast<int32_t>(place[from + i]);
      }
    for (int v = 0; v < V; ++v) {
      const Vec constant = load(of_sum + v * kLanes), factor = 2 * load(of_square + v * kLanes);
      const auto finish = [&](int64_t i, Vec z, Vec extra) {
        const IVec on = z > 0;
        store(row + (i * V + v) * kLanes, on ? constant + factor * z + extra : Vec{});
      };
      const auto plain = [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) finish(i, load(row + (i * V + v) * kLanes), Vec{});
      };
      if (h2 < 0) {
        plain(0, wc);
        continue;
      }
      for (int64_t w2 = 0; w2 < s.w2; ++w2) {
        const int64_t left = w2 * s.pw - s.pool_left;
        const Vec g = load(gain + (w2 * V + v) * kLanes);
        IVec where;
        std::memcpy(&where, at + (w2 * V + v) * kLanes, sizeof where);
        for (int64_t i = std::max<int64_t>(left, 0); i < std::min(left + s.pw, wc); ++i) {
          const IVec here = where == static_cast<int32_t>(above * s.pw + i - left);
          finish(i, load(row + (i * V + v) * kLanes), here ? g : Vec{});
        }
      }
      plain(std::max<int64_t>(0, std::min(s.w2 * s.pw - s.pool_left, wc)), wc);
    }
    use(r, row);
  }
}

// Adds to N taps of one row of filters what a row of gradients contributes.
template <int V, int N>
void add_taps(const float* x, int64_t step, const float* gradient, int64_t count, float* bar) {
  Vec sum[N][V] = {};
  for (int64_t i = 0; i < count; ++i, x += step, gradient += V * kLanes) {
    Vec g[V];
    for (int v = 0; v < V; ++v) g[v] = load(gradient + v * kLanes);
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[n][v] += g[v] * splat(x[n]);
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      float* to = bar + (n * V + v) * kLanes;
      store(to, load(to) + sum[n][v]);
    }
}

// The same for any number of taps, in pieces of up to `piece`, itself up to N.
template <int V, int N>
void add_run(const float* x, int64_t step, const float* gradient, int64_t count, float* bar, int64_t taps,
             int64_t piece) {
  if (N <= piece)
    for (; taps >= N; taps -= N, x += N, bar += N * V * kLanes) add_taps<V, N>(x, step, gradient, count, bar);
  if constexpr (N > 1)
    if (taps) add_run<V, N - 1>(x, step, gradient, count, bar, taps, piece);
}

// Runs `work(block, first, offset)` for each block of filters: a type that says how many vectors, and its first.
template <typename Work>
void over_blocks(const Small& s, const Work& work) {
  for (int64_t first = 0; first < s.d; first += 2 * kLanes)
    if (s.d - first > kLanes)
      work(std::integral_constant<int, 2>(), first);
    else
      work(std::integral_constant<int, 1>(), first);
}

void forward(const Small& s, const float* x, const float* packed, const float* bias, const float* sign, float* out,
             uint8_t* place, double* sums, Scratch& scratch) {
  const int64_t taps = s.kh * s.kw * s.c;
  over_blocks(s, [&](auto block, int64_t first) {
    forward_block<block.value>(s, x, packed + first * taps, bias, sign, out, place, sums, first, scratch);
  });
}

void weight_gradient(const Small& s, const float* x, const float* packed, const float* bias, const uint8_t* place,
                     const float* out_bar, const float* sums_bar, float* packed_bar, float* bias_bar,
                     Scratch& scratch) {
  const int64_t taps = s.kh * s.kw * s.c, run = s.kw * s.c;
  over_blocks(s, [&](auto block, int64_t first) {
    constexpr int V = block.value;
    constexpr int kMost = MER_TILE * 3 / (2 * V);  // as many sums as fit the registers
    constexpr int64_t width = V * kLanes;
    const int64_t pieces = (run + kMost - 1) / kMost, piece = (run + pieces - 1) / pieces;
    Vec total[V] = {};
    const auto add = [&](int64_t r, const float* gradient) {
      for (int64_t i = 0; i < s.wc(); ++i)
        for (int v = 0; v < V; ++v) total[v] += load(gradient + (i * V + v) * kLanes);
      float* bar = packed_bar + first * taps;
      for (int64_t a = 0; a < s.kh; ++a, bar += run * width)
        add_run<V, kMost>(x + (r + a) * s.wp * s.c, s.c, gradient, s.wc(), bar, run, piece);
    };
    gradient_rows<V>(s, x, packed + first * taps, bias, place, out_bar, sums_bar, first, scratch, add);
    for (int v = 0; v < V; ++v)
      for (int64_t i = 0; i < kLanes && first + v * kLanes + i < s.d; ++i)
        bias_bar[first + v * kLanes + i] += total[v][i];
  });
}

void conv_gradient(const Small& s, const float* x, const float* packed, const float* bias, const uint8_t* place,
                   const float* out_bar, const float* sums_bar, float* conv_bar, Scratch& scratch) {
  const int64_t taps = s.kh * s.kw * s.c, stride = s.wp + s.kw - 1;
  over_blocks(s, [&](auto block, int64_t first) {
    constexpr int64_t width = block.value * kLanes;
    const int64_t filters = std::min<int64_t>(width, s.d - first);
    const auto copy = [&](int64_t r, const float* gradient) {
      float* to = conv_bar + ((r + s.kh - 1) * stride + s.kw - 1) * s.d + first;
      for (int64_t i = 0; i < s.wc(); ++i) std::copy_n(gradient + i * width, filters, to + i * s.d);
    };
    gradient_rows<block.value>(s, x, packed + first * taps, bias, place, out_bar, sums_bar, first, scratch, copy);
  });
}

void input_row(const Small& s, const float* conv_bar, const float* packed, float* x_bar, int64_t count,
               Scratch& scratch) {
  const Sizes clip = s.transposed();
  const int64_t taps = clip.taps();
  for (int64_t first = 0; first < s.c; first += 2 * kLanes) {
    const auto run = [&](auto vectors) {
      constexpr int V = vectors.value;
      constexpr int64_t width = V * kLanes;
      scratch.floats.resize(count * width);
      convolve_row<V == 2 ? MER_TILE : 2 * MER_TILE, V, 0>(clip, conv_bar, packed + first * taps,
                                                           scratch.floats.data(), count);
      for (int64_t i = 0; i < count; ++i)
        std::copy_n(scratch.floats.data() + i * width, std::min<int64_t>(width, s.c - first),
                    x_bar + i * s.c + first);
    };
    if (s.c - first > kLanes)
      run(std::integral_constant<int, 2>());
    else
      run(std::integral_constant<int, 1>());
  }
}

const SmallLoops kLoops{forward, weight_gradient, conv_gradient, input_row};

}  // namespace small
