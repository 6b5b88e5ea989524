// The forward pass for few filters on one channel, included by conv_pool_loops.h for each instruction set.
//
// With fewer filters than half a register, lanes that are filters would be mostly empty: here lanes are neighbouring
// pixels, and each filter has registers of its own. Every sum runs over the taps in the order of the other form, and of
// equal maxima the first in t, h, w is found, so both forms give the same bits.

constexpr int kFewFilters = kLanes / 2;
constexpr int kPixelVectors = MER_LANES == 16 ? 3 : MER_LANES == 8 ? 2 : 4;  // whose sums fit the registers

inline bool few_filters(const Sizes& s) { return s.c == 1 && s.d <= kFewFilters; }

inline int64_t padded_row(const Sizes& s) { return round_up(s.used_w()); }

// One line of windows, for P vectors of pixels: convolves them, and keeps the maximum over the lines so far and its line.
template <int P, bool kWithPlace>
void merge_pixels(const Sizes& s, const float* x, const float* weight, int32_t line, float* best, int32_t* at) {
  const int64_t frame = s.h * s.w, width = padded_row(s);
  Vec sum[P][kFewFilters] = {};
  for (int64_t a = 0; a < s.kt; ++a)
    for (int64_t b = 0; b < s.kh; ++b) {
      const float* in = x + a * frame + b * s.w;
      for (int64_t j = 0; j < s.kw; ++j, weight += kLanes) {
        Vec pixels[P];
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) pixels[p] = load(in + j + p * kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < kFewFilters; ++i)
#pragma GCC unroll 4
          for (int p = 0; p < P; ++p) sum[p][i] += splat(weight[i]) * pixels[p];
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < kFewFilters; ++i)
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const int64_t to = i * width + p * kLanes;
      const Vec y = sum[p][i], top = load(best + to);
      // The first of equal values stays; what is not a number wins, so that it is seen.
      const IVec wins = (y > top) | (y != y);
      store(best + to, wins ? y : top);
      if constexpr (kWithPlace) {
        IVec where;
        std::memcpy(&where, at + to, sizeof where);
        where = wins ? IVec{} + line : where;
        std::memcpy(at + to, &where, sizeof where);
      }
    }
}

// All lines of a row of windows, for `count` vectors of pixels, P of them at a time.
template <int P, bool kWithPlace>
void merge_lines(const Sizes& s, const float* x, const float* weight, float* best, int32_t* at, int64_t count) {
  for (; count >= P; count -= P, x += P * kLanes, best += P * kLanes, at += P * kLanes)
    for (int64_t a = 0; a < s.pt; ++a)
      for (int64_t b = 0; b < s.ph; ++b)
        merge_pixels<P, kWithPlace>(s, x + (a * s.h + b) * s.w, weight, static_cast<int32_t>(a * s.ph + b), best, at);
  if constexpr (P > 1) merge_lines<P - 1, kWithPlace>(s, x, weight, best, at, count);
}

// Whether columns of a window can be compared inside registers: as many windows as fit, none of them cut.
inline bool windows_fill_lanes(const Sizes& s) {
#if defined(__clang__)
  return false;  // it has no shuffle by a vector of indices
#else
  return s.sw == s.pw && kLanes % s.pw == 0;
#endif
}

// The maximum over the columns of each window in one vector, into all of its lanes: partners are ever nearer.
template <bool kWithPlace>
void merge_columns(const Sizes& s, const float* best, const int32_t* line, float* top_out, int32_t* place_out) {
#if !defined(__clang__)
  IVec lane, place{};
  for (int i = 0; i < MER_LANES; ++i) lane[i] = i;
  Vec top = load(best);
  if constexpr (kWithPlace) {
    std::memcpy(&place, line, sizeof place);
    place = place * static_cast<int32_t>(s.pw) + (lane & static_cast<int32_t>(s.pw - 1));
  }
  for (int32_t step = static_cast<int32_t>(s.pw) / 2; step; step /= 2) {
    const IVec partner = lane ^ step;
    const Vec y = __builtin_shuffle(top, partner);
    const IVec here = __builtin_shuffle(place, partner), wins = (y > top) | (y != y) | ((y == top) & (here < place));
    top = wins ? y : top;
    if constexpr (kWithPlace) place = wins ? here : place;
  }
  store(top_out, top);
  std::memcpy(place_out, &place, sizeof place);
#endif
}

// One output frame; reads up to kReadBeyond floats further than it uses.
template <bool kWithPlace, typename Place>
void forward_pixels(const Sizes& s, const float* x, const float* weight, const float* bias, float* out, Place* place,
                    Scratch& scratch) {
  const int64_t width = padded_row(s);
  scratch.floats.resize(kFewFilters * width);
  scratch.ints.resize(kFewFilters * width);
  float* best = scratch.floats.data();
  int32_t* at = scratch.ints.data();
  for (int64_t h2 = 0; h2 < s.h2; ++h2) {
    std::fill(best, best + kFewFilters * width, -std::numeric_limits<float>::infinity());
    if (kWithPlace) std::fill(at, at + kFewFilters * width, 0);
    merge_lines<kPixelVectors, kWithPlace>(s, x + h2 * s.sh * s.w, weight, best, at, width / kLanes);
    const auto put = [&](int64_t i, int64_t w2, float top, int64_t where) {
      const int64_t to = (h2 * s.w2 + w2) * s.d + i;
      const float y = top + bias[i];
      out[to] = y <= 0 ? 0.0f : y;
      if (kWithPlace) place[to] = static_cast<Place>(where);
    };
    for (int64_t i = 0; i < s.d; ++i) {
      const float* top = best + i * width;
      const int32_t* line = at + i * width;
      int64_t w2 = 0;
      if (windows_fill_lanes(s))
        for (int64_t p = 0; p < width; p += kLanes) {
          float lane_top[kLanes];
          int32_t lane_place[kLanes];
          merge_columns<kWithPlace>(s, top + p, line + p, lane_top, lane_place);
          for (int64_t lane = 0; lane < kLanes && w2 < s.w2; lane += s.pw, ++w2)
            put(i, w2, lane_top[lane], lane_place[lane]);
        }
      for (; w2 < s.w2; ++w2) {
        const int64_t first = w2 * s.sw;
        float most = top[first];
        int64_t where = kWithPlace ? line[first] * s.pw : 0;
        for (int64_t j = 1; j < s.pw; ++j) {
          const float y = top[first + j];
          const int64_t here = kWithPlace ? line[first + j] * s.pw + j : 0;
          const bool wins = (y > most) | (y != y) | ((y == most) & (here < where));
          most = wins ? y : most;
          where = wins ? here : where;
        }
        put(i, w2, most, where);
      }
    }
  }
}
