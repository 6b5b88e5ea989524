// The loops of conv_pool.cc for one instruction set. Included once for each, in a namespace of its own, with
//   MER_ISA    its name
//   MER_LANES  floats in a vector register
//   MER_TILE   output pixels whose sums for two vectors of filters fit the registers
// Plain vector types of GCC and Clang, no intrinsics: the compiler writes the instructions.
//
// Every sum runs in an order that depends on the sizes alone. Lanes are filters or pixels forward and taps backward, so
// that instruction sets with a fused multiply-add give the same bits, whatever the width of their registers.

typedef float Vec __attribute__((vector_size(4 * MER_LANES)));
typedef int32_t IVec __attribute__((vector_size(4 * MER_LANES)));

constexpr int64_t kLanes = MER_LANES;

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

inline Vec splat(float x) { return x - Vec{}; }

inline int64_t round_up(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// A block of filters is two vectors wide, the last one perhaps one.
int64_t packed_size(const Sizes& s) { return s.taps() * round_up(s.d); }

void pack(const Sizes& s, const float* kernel, float* packed) {
  const int64_t width = round_up(s.d);
  for (int64_t first = 0; first < width; first += 2 * kLanes) {
    const int64_t block = std::min(2 * kLanes, width - first);
    for (int64_t tap = 0; tap < s.taps(); ++tap)
      for (int64_t i = 0; i < block; ++i) *packed++ = first + i < s.d ? kernel[tap * s.d + first + i] : 0.0f;
  }
}

void unpack(const Sizes& s, const float* packed, float* kernel) {
  const int64_t width = round_up(s.d);
  for (int64_t first = 0; first < width; first += 2 * kLanes) {
    const int64_t block = std::min(2 * kLanes, width - first);
    for (int64_t tap = 0; tap < s.taps(); ++tap)
      for (int64_t i = 0; i < block; ++i, ++packed)
        if (first + i < s.d) kernel[tap * s.d + first + i] = *packed;
  }
}

// Sums of N neighbouring output pixels in one row, for V vectors of filters.
template <int N, int V, int C>
void convolve_tile(const Sizes& s, const float* x, const float* weight, float* out) {
  const int64_t row = s.w * s.c, frame = s.h * row, taps = s.kw * s.c, step = C ? C : s.c;
  Vec sum[N][V] = {};
  for (int64_t a = 0; a < s.kt; ++a)
    for (int64_t b = 0; b < s.kh; ++b) {
      const float* in = x + a * frame + b * row;
      for (int64_t j = 0; j < taps; ++j, ++in, weight += V * kLanes) {
        // Hides that neighbouring pixels share numbers: keeping these in registers would leave too few for the sums.
        asm("" : "+r"(in));
        Vec w[V];
        for (int v = 0; v < V; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 32
        for (int i = 0; i < N; ++i)
#pragma GCC unroll 2
          for (int v = 0; v < V; ++v) sum[i][v] += w[v] * splat(in[i * step]);
      }
    }
#pragma GCC unroll 32
  for (int i = 0; i < N; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(out + (i * V + v) * kLanes, sum[i][v]);
}

template <int N, int V, int C>
void convolve_row(const Sizes& s, const float* x, const float* weight, float* out, int64_t count) {
  for (; count >= N; count -= N, x += N * s.c, out += N * V * kLanes) convolve_tile<N, V, C>(s, x, weight, out);
  if constexpr (N > 1) convolve_row<N / 2, V, C>(s, x, weight, out, count);
}

// The maximum so far of every window that a row of sums belongs to, and where it stands.
template <int V, bool kWithPlace>
void merge_row(const Sizes& s, const float* sums, int32_t place, float* best, int32_t* at) {
  for (int64_t i = 0; i < s.w2; ++i)
    for (int v = 0; v < V; ++v) {
      const int64_t to = (i * V + v) * kLanes;
      Vec top = load(best + to);
      IVec where;
      if constexpr (kWithPlace) std::memcpy(&where, at + to, sizeof where);
      for (int64_t j = 0; j < s.pw; ++j) {
        const Vec y = load(sums + ((i * s.sw + j) * V + v) * kLanes);
        // The first of equal values stays; what is not a number wins, so that it is seen.
        const IVec wins = (y > top) | (y != y);
        top = wins ? y : top;
        if constexpr (kWithPlace) where = wins ? IVec{} + static_cast<int32_t>(place + j) : where;
      }
      store(best + to, top);
      if constexpr (kWithPlace) std::memcpy(at + to, &where, sizeof where);
    }
}

// Filters `first` to `first + V * kLanes` of one output frame; x, out and place begin at it.
template <int V, bool kWithPlace, typename Place>
void forward_block(const Sizes& s, const float* x, const float* weight, const float* bias, float* out, Place* place,
                   int64_t first, Scratch& scratch) {
  constexpr int kTile = V == 2 ? MER_TILE : 2 * MER_TILE;
  constexpr int64_t width = V * kLanes;
  scratch.floats.resize((s.used_w() + s.w2) * width);
  scratch.ints.resize(s.w2 * width);
  float* sums = scratch.floats.data();
  float* best = sums + s.used_w() * width;
  int32_t* at = scratch.ints.data();
  const int64_t filters = std::min<int64_t>(width, s.d - first);
  for (int64_t h2 = 0; h2 < s.h2; ++h2) {
    std::fill(best, best + s.w2 * width, -std::numeric_limits<float>::infinity());
    if (kWithPlace) std::fill(at, at + s.w2 * width, 0);
    for (int64_t a = 0; a < s.pt; ++a)
      for (int64_t b = 0; b < s.ph; ++b) {
        const float* in = x + (a * s.h + h2 * s.sh + b) * s.w * s.c;
        if (s.c == 1)
          convolve_row<kTile, V, 1>(s, in, weight, sums, s.used_w());
        else
          convolve_row<kTile, V, 0>(s, in, weight, sums, s.used_w());
        merge_row<V, kWithPlace>(s, sums, static_cast<int32_t>((a * s.ph + b) * s.pw), best, at);
      }
    for (int64_t w2 = 0; w2 < s.w2; ++w2) {
      const int64_t to = (h2 * s.w2 + w2) * s.d + first;
      for (int64_t i = 0; i < filters; ++i) {
        const float y = best[w2 * width + i] + bias[first + i];
        out[to + i] = y <= 0 ? 0.0f : y;
        if (kWithPlace) place[to + i] = static_cast<Place>(at[w2 * width + i]);
      }
    }
  }
}

#include "conv_pool_pixels.h"

template <bool kWithPlace, typename Place>
void forward_blocks(const Sizes& s, const float* x, const float* packed, const float* bias, float* out, Place* place,
                    Scratch& scratch) {
  if (few_filters(s)) return forward_pixels<kWithPlace>(s, x, packed, bias, out, place, scratch);
  for (int64_t first = 0; first < s.d; first += 2 * kLanes) {
    const float* weight = packed + first * s.taps();
    if (s.d - first > kLanes)
      forward_block<2, kWithPlace>(s, x, weight, bias, out, place, first, scratch);
    else
      forward_block<1, kWithPlace>(s, x, weight, bias, out, place, first, scratch);
  }
}

void forward(const Sizes& s, const float* x, const float* packed, const float* bias, float* out, void* place,
             Scratch& scratch) {
  if (!place)
    forward_blocks<false>(s, x, packed, bias, out, static_cast<uint8_t*>(nullptr), scratch);
  else if (s.narrow_place())
    forward_blocks<true>(s, x, packed, bias, out, static_cast<uint8_t*>(place), scratch);
  else
    forward_blocks<true>(s, x, packed, bias, out, static_cast<int32_t*>(place), scratch);
}

// The taps of one row of the kernel are cut into pieces of one vector; lanes beyond the row hold sums of no meaning.
template <int L>
struct Pieces {
  typedef float PieceVec __attribute__((vector_size(4 * L)));
  static constexpr int kGroup = 9;  // pieces whose sums are in registers at once
  static int64_t in_row(const Sizes& s) { return (s.kw * s.c + L - 1) / L; }
  static int64_t count(const Sizes& s) { return s.kt * s.kh * in_row(s); }
};

// Adds to one filter's sums what one row of windows contributes: the patch under each maximum times its cotangent.
template <int L, int N, typename Place>
void add_patches(const Sizes& s, const float* x, const int64_t* piece, const int64_t* corner, const float* gain,
                 const Place* place, float* sum) {
  typedef typename Pieces<L>::PieceVec PieceVec;
  PieceVec total[N] = {};
  for (int64_t i = 0; i < s.w2; ++i) {
    const float* from = x + i * s.sw * s.c + corner[place[i * s.d]];
    const PieceVec g = gain[i] - PieceVec{};
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      PieceVec patch;
      std::memcpy(&patch, from + piece[n], sizeof patch);
      total[n] += g * patch;
    }
  }
  for (int n = 0; n < N; ++n) {
    PieceVec old;
    std::memcpy(&old, sum + n * L, sizeof old);
    old += total[n];
    std::memcpy(sum + n * L, &old, sizeof old);
  }
}

template <int L, typename Place>
void gradient_frame(const Sizes& s, const float* x, const float* out, const float* cotangent, const Place* place,
                    float* kernel_bar, float* bias_bar, Scratch& scratch) {
  constexpr int kGroup = Pieces<L>::kGroup;
  const int64_t row = s.w * s.c, frame = s.h * row, pieces = Pieces<L>::count(s), in_row = Pieces<L>::in_row(s);
  scratch.floats.resize(s.w2);
  scratch.offsets.resize(pieces + s.window());
  float* gain = scratch.floats.data();
  int64_t* piece = scratch.offsets.data();  // where each piece of a patch begins
  int64_t* corner = piece + pieces;         // where the patch of each place of a window begins
  for (int64_t i = 0; i < pieces; ++i)
    piece[i] = i / (in_row * s.kh) * frame + i / in_row % s.kh * row + i % in_row * L;
  for (int64_t k = 0; k < s.window(); ++k) corner[k] = s.place_offset(k);
  for (int64_t h2 = 0; h2 < s.h2; ++h2)
    for (int64_t i = 0; i < s.d; ++i) {
      const int64_t from = h2 * s.w2 * s.d + i;
      float bias = 0;
      for (int64_t w2 = 0; w2 < s.w2; ++w2) {
        gain[w2] = out[from + w2 * s.d] > 0 ? cotangent[from + w2 * s.d] : 0.0f;
        bias += gain[w2];
      }
      bias_bar[i] += bias;
      const float* line = x + h2 * s.sh * row;
      float* sum = kernel_bar + i * pieces * L;
      int64_t n = 0;
      for (; n + kGroup <= pieces; n += kGroup)
        add_patches<L, kGroup>(s, line, piece + n, corner, gain, place + from, sum + n * L);
      for (; n < pieces; ++n) add_patches<L, 1>(s, line, piece + n, corner, gain, place + from, sum + n * L);
    }
}

// Short rows of a kernel (3 taps of one channel, say) would leave most of a wide vector empty.
inline bool short_rows(const Sizes& s) { return kLanes > 4 && s.kw * s.c <= 4; }

int64_t gradient_size(const Sizes& s) {
  return s.d * (short_rows(s) ? 4 * Pieces<4>::count(s) : kLanes * Pieces<kLanes>::count(s));
}

void kernel_gradient(const Sizes& s, const float* x, const float* out, const float* cotangent, const void* place,
                     float* kernel_bar, float* bias_bar, Scratch& scratch) {
  const auto run = [&](auto typed) {
    if (short_rows(s))
      gradient_frame<4>(s, x, out, cotangent, typed, kernel_bar, bias_bar, scratch);
    else
      gradient_frame<kLanes>(s, x, out, cotangent, typed, kernel_bar, bias_bar, scratch);
  };
  if (s.narrow_place())
    run(static_cast<const uint8_t*>(place));
  else
    run(static_cast<const int32_t*>(place));
}

void unpack_gradient(const Sizes& s, const float* sums, float* kernel_bar) {
  const int64_t lanes = short_rows(s) ? 4 : kLanes, run = s.kw * s.c, in_row = (run + lanes - 1) / lanes;
  for (int64_t i = 0; i < s.d; ++i)
    for (int64_t tap = 0; tap < s.taps(); ++tap)
      kernel_bar[tap * s.d + i] = sums[(i * s.kt * s.kh + tap / run) * in_row * lanes + tap % run];
}

void input_gradient(const Sizes& s, const float* by_filter, const float* out, const float* cotangent,
                    const void* place, float* x_bar) {
  const int64_t row = s.w * s.c, frame = s.h * row, width = round_up(s.kw * s.c);
  std::fill(x_bar, x_bar + s.clip_in(), 0.0f);
  for (int64_t window = 0; window < s.t2 * s.h2 * s.w2; ++window) {
    const int64_t t = window / (s.h2 * s.w2) * s.st, h = window / s.w2 % s.h2 * s.sh, w = window % s.w2 * s.sw;
    float* first = x_bar + t * frame + h * row + w * s.c;
    for (int64_t i = 0; i < s.d; ++i) {
      const int64_t at = window * s.d + i;
      if (!(out[at] > 0) || cotangent[at] == 0) continue;
      const int64_t k =
          s.narrow_place() ? static_cast<const uint8_t*>(place)[at] : static_cast<const int32_t*>(place)[at];
      float* corner = first + s.place_offset(k);
      const float* weight = by_filter + i * s.kt * s.kh * width;
      const Vec gain = splat(cotangent[at]);
      for (int64_t a = 0; a < s.kt; ++a)
        for (int64_t b = 0; b < s.kh; ++b)
          for (int64_t j = 0; j < width; j += kLanes, weight += kLanes) {
            float* to = corner + a * frame + b * row + j;
            store(to, load(to) + gain * load(weight));
          }
    }
  }
}

// Filters one after the other, the taps of each row padded to whole vectors with zeros.
int64_t by_filter_size(const Sizes& s) { return s.d * s.kt * s.kh * round_up(s.kw * s.c); }

void pack_by_filter(const Sizes& s, const float* kernel, float* by_filter) {
  const int64_t run = s.kw * s.c, width = round_up(run);
  for (int64_t i = 0; i < s.d; ++i)
    for (int64_t tap = 0; tap < s.kt * s.kh * width; ++tap)
      *by_filter++ = tap % width < run ? kernel[(tap / width * run + tap % width) * s.d + i] : 0.0f;
}

#include "adam_loops.h"
#include "faces_loops.h"
#include "small_conv_loops.h"

const Loops kLoops{MER_ISA,         packed_size,     pack,           unpack,         forward,       gradient_size,
                   kernel_gradient, unpack_gradient, by_filter_size, pack_by_filter, input_gradient, small::kLoops,
                   adam_row,        load_face};
