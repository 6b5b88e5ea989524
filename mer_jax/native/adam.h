// One step of Adam on all weights of a network; part of conv_pool.cc. See mer_jax/native/adam.py.

// The numbers of one step.
struct Adam {
  float new_mean, old_mean, new_square, old_square, epsilon;
  float step;           // learning rate over the bias correction of the mean
  float unbias_square;  // one over the bias correction of the squares
  float decay;          // learning rate times weight decay
};

// The loop of one instruction set, in adam_loops.h: `count` neighbouring weights.
using AdamLoop = void (*)(const Adam&, const float* gradient, float* weight, float* mean, float* square, int64_t count);
