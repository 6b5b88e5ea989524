// Sizes and loops of convolution + bias + ReLU (+ sums for batch statistics) + max pool of small pictures. See
// mer_jax/blocks/small_conv.py for what is computed.

// All sizes of one call. Pictures of one group share their filters.
struct Small {
  int64_t groups, clips, h, w, c;           // input
  int64_t kh, kw, d;                        // kernel
  int64_t top, left, hp, wp;                // zeros around pictures, and their size with these
  int64_t ph, pw, pool_top, pool_left;      // window of the pool, which is its stride too, and its padding
  int64_t h2, w2;                           // output
  bool with_sums;

  int64_t hc() const { return hp - kh + 1; }  // size of the convolution
  int64_t wc() const { return wp - kw + 1; }
  int64_t picture() const { return h * w * c; }
  int64_t padded() const { return hp * wp * c; }
  int64_t out() const { return h2 * w2 * d; }
  int64_t kernel() const { return kh * kw * c * d; }
  // A padded picture as a clip of one frame.
  Sizes as_clip() const {
    Sizes s{};
    s.clips = s.t = s.kt = 1;
    s.h = hp, s.w = wp, s.c = c, s.kh = kh, s.kw = kw, s.d = d;
    return s;
  }
  // The transposed convolution: gradients between zeros become a padded picture.
  Sizes transposed() const {
    Sizes s = as_clip();
    s.h = hp + kh - 1, s.w = wp + kw - 1, s.c = d, s.d = c;
    return s;
  }
};

// The loops of one instruction set; all of small_conv_loops.h. Pictures are padded already.
struct SmallLoops {
  // `sums`: of values and of squares [2][d], added to; null for none. Places are counted from the first pixel of a
  // window, row by row, of which there are 256 at most.
  void (*forward)(const Small&, const float* x, const float* packed, const float* bias, const float* sign, float* out,
                  uint8_t* place, double* sums, Scratch&);
  // Adds to the gradients of filters, in the order of `pack`, and of the bias.
  void (*weight_gradient)(const Small&, const float* x, const float* packed, const float* bias, const uint8_t* place,
                          const float* out_bar, const float* sums_bar, float* packed_bar, float* bias_bar, Scratch&);
  // Gradients at the convolution, [kh-1 + hc + kh-1][kw-1 + wc + kw-1][d] of which the middle is written.
  void (*conv_gradient)(const Small&, const float* x, const float* packed, const float* bias, const uint8_t* place,
                        const float* out_bar, const float* sums_bar, float* conv_bar, Scratch&);
  // One row of the transposed convolution: `count` pixels [count][c].
  void (*input_row)(const Small&, const float* conv_bar, const float* packed, float* x_bar, int64_t count, Scratch&);
};
