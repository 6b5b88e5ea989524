// Faces for a network, included by conv_pool_loops.h for each instruction set: a clip in 8 bits is resampled, relit and
// divided by the contrast of its first frame. See mer_jax/native/faces.py.
//
// Lanes are frames while a clip is sampled: a corner of a position is one load of its frames, where lanes that are pixels
// would gather each value by itself. So frames are first brought together, pixel by pixel, and then taken apart again.

typedef uint8_t Bytes __attribute__((vector_size(MER_LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * MER_LANES)));

#if defined(__clang__)
template <int... i>
using Lanes = std::integer_sequence<int, i...>;
template <typename V, int... i>
inline V interleave(V a, V b, int half, Lanes<i...>) {
  return half ? __builtin_shufflevector(a, b, (i / 2 + i % 2 * MER_LANES + MER_LANES / 2)...)
              : __builtin_shufflevector(a, b, (i / 2 + i % 2 * MER_LANES)...);
}
template <typename V, typename Index>
inline V interleave(V a, V b, int half) {
  return interleave(a, b, half, std::make_integer_sequence<int, MER_LANES>{});
}
#else
template <typename V, typename Index>
inline V interleave(V a, V b, int half) {
  Index index;
  for (int i = 0; i < MER_LANES; ++i) index[i] = i / 2 + i % 2 * MER_LANES + half * (MER_LANES / 2);
  return __builtin_shuffle(a, b, index);
}
#endif

// As many vectors as lanes to their transpose: rows of the two halves are interleaved, log2 of their number times.
template <typename V, typename Index>
inline void transpose(V* rows) {
#pragma GCC unroll 4
  for (int stage = 1; stage < MER_LANES; stage *= 2) {
    V next[MER_LANES];
#pragma GCC unroll 8
    for (int i = 0; i < MER_LANES / 2; ++i) {
      next[2 * i] = interleave<V, Index>(rows[i], rows[i + MER_LANES / 2], 0);
      next[2 * i + 1] = interleave<V, Index>(rows[i], rows[i + MER_LANES / 2], 1);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MER_LANES; ++i) rows[i] = next[i];
  }
}

inline Vec load_bytes(const uint8_t* p) {
  Bytes bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  // By way of 16 bits: GCC 12 converts bytes to integers one by one.
  return __builtin_convertvector(__builtin_convertvector(__builtin_convertvector(bytes, Halves), IVec), Vec);
}

// Frames of each pixel side by side, in whole vectors.
void bring_together(const Faces& s, const uint8_t* clip, uint8_t* frames_of) {
  const int64_t pixels = s.h * s.w, width = round_up(s.t);
  for (int64_t t = 0; t < width; t += kLanes) {
    const int64_t frames = std::min(kLanes, s.t - t);
    for (int64_t p = 0; p < pixels; p += kLanes) {
      const int64_t count = std::min(kLanes, pixels - p);
      Bytes rows[MER_LANES] = {};
      for (int64_t i = 0; i < frames; ++i) std::memcpy(&rows[i], clip + (t + i) * pixels + p, count);
      transpose<Bytes, Bytes>(rows);
      for (int64_t i = 0; i < count; ++i) std::memcpy(frames_of + (p + i) * width + t, &rows[i], sizeof rows[i]);
    }
  }
}

// Every frame at the same positions: (column, row) from the middle, times the map. Those beyond the edges are moved to
// them. Writes frames of `pixels` floats to `out`, one part of a face after the other; returns the sum of all samples.
double sample(const Faces& s, const uint8_t* clip, const float* map, float* const* out, std::vector<uint8_t>& frames_of) {
  const int64_t width = round_up(s.t), down = s.w * width, pixels = s.h * s.w, part = pixels / s.parts;
  const Vec zero{}, bottom = zero + static_cast<float>(s.h - 1), right = zero + static_cast<float>(s.w - 1);
  const IVec last_top = IVec{} + static_cast<int32_t>(s.h - 2), last_left = IVec{} + static_cast<int32_t>(s.w - 2);
  frames_of.resize(pixels * width);
  bring_together(s, clip, frames_of.data());
  Vec lane{};
  for (int i = 0; i < MER_LANES; ++i) lane[i] = static_cast<float>(i) - static_cast<float>(s.w - 1) / 2;
  double total = 0;
  for (int64_t row = 0; row < s.h; ++row) {
    const float from_middle = static_cast<float>(row) - static_cast<float>(s.h - 1) / 2;
    const Vec row_x = zero + (map[1] * from_middle + map[2]), row_y = zero + (map[4] * from_middle + map[5]);
    Vec row_sum{};
    for (int64_t column = 0; column < s.w; column += kLanes) {
      const Vec across = lane + static_cast<float>(column);
      Vec x = map[0] * across + row_x, y = map[3] * across + row_y;
      x = x > zero ? x : zero, y = y > zero ? y : zero;  // what is not a number becomes 0: no load may leave the clip
      x = x < right ? x : right, y = y < bottom ? y : bottom;
      IVec top = __builtin_convertvector(y, IVec), left = __builtin_convertvector(x, IVec);
      top = top < last_top ? top : last_top, left = left < last_left ? left : last_left;
      const Vec dy = y - __builtin_convertvector(top, Vec), dx = x - __builtin_convertvector(left, Vec);
      const Vec weights[4] = {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx};
      const IVec corners = (top * static_cast<int32_t>(s.w) + left) * static_cast<int32_t>(width);
      float weight[4][MER_LANES];
      int32_t corner[MER_LANES];
      std::memcpy(weight, weights, sizeof weight);
      std::memcpy(corner, &corners, sizeof corner);
      const int64_t position = row * s.w + column;
      float* to = out[position / part] + position % part;
      for (int64_t t = 0; t < width; t += kLanes) {
        Vec rows[MER_LANES];
#pragma GCC unroll 16
        for (int i = 0; i < MER_LANES; ++i) {
          const uint8_t* at = frames_of.data() + corner[i] + t;
          Vec sum = load_bytes(at) * splat(weight[0][i]);
          sum += load_bytes(at + width) * splat(weight[1][i]);
          sum += load_bytes(at + down) * splat(weight[2][i]);
          sum += load_bytes(at + down + width) * splat(weight[3][i]);
          rows[i] = sum;
        }
        transpose<Vec, IVec>(rows);
        const int64_t frames = std::min(kLanes, s.t - t);
        for (int64_t i = 0; i < frames; ++i) {
          store(to + (t + i) * part, rows[i]);
          row_sum += rows[i];
        }
      }
    }
    for (int i = 0; i < MER_LANES; ++i) total += row_sum[i];
  }
  return total;
}

// Frames as they are.
void convert(const Faces& s, const uint8_t* clip, float* const* out) {
  const int64_t pixels = s.h * s.w, part = pixels / s.parts;
  for (int64_t t = 0; t < s.t; ++t)
    for (int64_t p = 0; p < pixels; p += kLanes) store(out[p / part] + t * part + p % part, load_bytes(clip + t * pixels + p));
}

// 8 * (x_t - x_0) / (std(x_0) + 5), clipped to -4 .. 4, of frames that are relit first where there is a map.
void load_face(const Faces& s, const uint8_t* clip, const float* map, float gain, float offset, float* const* out,
               FaceScratch& scratch) {
  const int64_t pixels = s.h * s.w, part = pixels / s.parts;
  const Vec black{}, white = black + 255.0f;
  Vec factor = black + 1.0f, shift = black;
  if (map) {
    const float mean = static_cast<float>(sample(s, clip, map, out, scratch.bytes) / static_cast<double>(s.t * pixels));
    factor = black + gain, shift = black + (mean - mean * gain + offset);
  } else {
    convert(s, clip, out);
  }
  const auto relit = [&](const float* from) {
    Vec v = load(from) * factor + shift;
    v = v > black ? v : black;
    return v < white ? v : white;
  };
  scratch.onset.resize(pixels);
  double mean = 0, variance = 0;
  for (int64_t p = 0; p < pixels; p += kLanes) {
    const Vec v = relit(out[p / part] + p % part);
    store(scratch.onset.data() + p, v);
    for (int i = 0; i < MER_LANES; ++i) mean += v[i];
  }
  mean /= static_cast<double>(pixels);
  for (int64_t p = 0; p < pixels; p += kLanes) {
    const Vec v = load(scratch.onset.data() + p) - static_cast<float>(mean), square = v * v;
    float sum = 0;
    for (int i = 0; i < MER_LANES; ++i) sum += square[i];
    variance += sum;
  }
  const float deviation = static_cast<float>(std::sqrt(variance / static_cast<double>(pixels)));
  const Vec scale = black + 8.0f / (deviation + 5.0f), most = black + 4.0f;
  for (int64_t i = 0; i < s.parts; ++i)
    for (int64_t t = 0; t < s.t; ++t)
      for (int64_t p = 0; p < part; p += kLanes) {
        float* at = out[i] + t * part + p;
        Vec v = (relit(at) - load(scratch.onset.data() + i * part + p)) * scale;
        v = v > -most ? v : -most;
        store(at, v < most ? v : most);
      }
}
