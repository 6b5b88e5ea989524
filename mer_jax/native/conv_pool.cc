// conv3d + bias + ReLU + max pool, and its gradients, as XLA custom calls on a CPU. See mer_jax/blocks/conv_pool.py
// for what is computed, and build.py beside this file for how it comes to be compiled.
//
// Work is divided over XLA's own thread pool: the calling thread takes part, and whoever is free takes the next unit.
// Results do not depend on the number of threads.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

// All sizes of one call.
struct Sizes {
  int64_t clips, t, h, w, c;       // input
  int64_t kt, kh, kw, d;           // kernel
  int64_t pt, ph, pw, st, sh, sw;  // window of the pool and its stride
  int64_t t2, h2, w2;              // output

  int64_t taps() const { return kt * kh * kw * c; }
  int64_t window() const { return pt * ph * pw; }
  int64_t used_w() const { return (w2 - 1) * sw + pw; }  // convolved pixels of a row
  int64_t frame_in() const { return h * w * c; }
  int64_t clip_in() const { return t * frame_in(); }
  int64_t frame_out() const { return h2 * w2 * d; }
  int64_t clip_out() const { return t2 * frame_out(); }
  // A place is the index within its window of a maximum, in the order t, h, w.
  bool narrow_place() const { return window() <= 256; }
  int64_t place_size() const { return narrow_place() ? 1 : 4; }
  int64_t place_offset(int64_t k) const { return ((k / (ph * pw) * h + k / pw % ph) * w + k % pw) * c; }
};

// What a thread keeps from one unit of work to the next.
struct Scratch {
  std::vector<float> floats;
  std::vector<int32_t> ints;
  std::vector<int64_t> offsets;
};

#include "adam.h"
#include "small_conv.h"

// The clip of a face, and into how many parts it is cut, one below the other.
struct Faces {
  int64_t t, h, w, parts;
};

struct FaceScratch {
  std::vector<uint8_t> bytes;
  std::vector<float> onset;
};

// The loops of one instruction set; all of conv_pool_loops.h.
struct Loops {
  const char* name;
  // Filters of all taps as [block][tap][lane], padded to whole vectors.
  int64_t (*packed_size)(const Sizes&);
  void (*pack)(const Sizes&, const float* kernel, float* packed);
  void (*unpack)(const Sizes&, const float* packed, float* kernel);
  // One output frame, at which x, out and place begin. `place` is null for inference. Reads up to kReadBeyond floats
  // further than it uses.
  void (*forward)(const Sizes&, const float* x, const float* packed, const float* bias, float* out, void* place,
                  Scratch&);
  // Sums of the gradient as [filter][piece][lane], a piece being some neighbouring taps of a row.
  int64_t (*gradient_size)(const Sizes&);
  // Adds what one output frame contributes. Reads up to kReadBeyond floats further than it uses.
  void (*kernel_gradient)(const Sizes&, const float* x, const float* out, const float* cotangent, const void* place,
                          float* kernel_bar, float* bias_bar, Scratch&);
  void (*unpack_gradient)(const Sizes&, const float* sums, float* kernel_bar);
  int64_t (*by_filter_size)(const Sizes&);
  void (*pack_by_filter)(const Sizes&, const float* kernel, float* by_filter);
  // Puts the cotangents of one clip back to the patches under the maxima. Writes up to kReadBeyond floats further.
  void (*input_gradient)(const Sizes&, const float* by_filter, const float* out, const float* cotangent,
                         const void* place, float* x_bar);
  SmallLoops small;
  AdamLoop adam;
  // One clip as a network takes it; without a map, frames as they are.
  void (*load_face)(const Faces&, const uint8_t* clip, const float* map, float gain, float offset, float* const* out,
                    FaceScratch&);
};

constexpr int64_t kReadBeyond = 16;  // floats: the widest vector
constexpr int64_t kAllThreads = std::numeric_limits<int64_t>::max();

// Runs `work(next)` on up to as many threads as there are units; `next()` gives the next unit, or -1.
// The caller works too, so that nothing waits for a thread that is busy elsewhere.
template <typename Work>
void divide(ffi::ThreadPool& pool, int64_t units, const Work& work, int64_t most_threads = kAllThreads) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable finished;
    int64_t working = 0;
    bool closed = false;  // nobody may start any more
    std::exception_ptr fault;
  };
  auto shared = std::make_shared<Shared>();
  const auto run = [units, &work](Shared& shared) {
    try {
      work([&shared, units] {
        const int64_t unit = shared.next.fetch_add(1);
        return unit < units ? unit : int64_t{-1};
      });
    } catch (...) {
      shared.next = units;
      const std::lock_guard<std::mutex> lock(shared.mutex);
      if (!shared.fault) shared.fault = std::current_exception();
    }
  };
  const int64_t helpers = std::min({pool.num_threads(), units, most_threads}) - 1;
  for (int64_t i = 0; i < helpers; ++i)
    pool.Schedule([shared, run] {  // may come to run only when this call has long returned
      {
        const std::lock_guard<std::mutex> lock(shared->mutex);
        if (shared->closed) return;
        ++shared->working;
      }
      run(*shared);
      const std::lock_guard<std::mutex> lock(shared->mutex);
      if (--shared->working == 0) shared->finished.notify_all();
    });
  run(*shared);
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->closed = true;
  shared->finished.wait(lock, [&] { return shared->working == 0; });
  if (shared->fault) std::rethrow_exception(shared->fault);
}

#if defined(__x86_64__)
namespace portable {
#define MER_ISA "portable"
#define MER_LANES 4
#define MER_TILE 6
#include "conv_pool_loops.h"
#undef MER_ISA
#undef MER_LANES
#undef MER_TILE
}  // namespace portable

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define MER_ISA "avx2"
#define MER_LANES 8
#define MER_TILE 6
#include "conv_pool_loops.h"
#undef MER_ISA
#undef MER_LANES
#undef MER_TILE
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif
namespace avx512 {
#define MER_ISA "avx512"
#define MER_LANES 16
#define MER_TILE 12
#include "conv_pool_loops.h"
#undef MER_ISA
#undef MER_LANES
#undef MER_TILE
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else  // 64-bit ARM has 32 NEON registers; others take what their compiler makes of it.
namespace portable {
#if defined(__aarch64__)
#define MER_ISA "neon"
#else
#define MER_ISA "portable"
#endif
#define MER_LANES 4
#define MER_TILE 12
#include "conv_pool_loops.h"
#undef MER_ISA
#undef MER_LANES
#undef MER_TILE
}  // namespace portable
#endif

// What this processor can run, the fastest first.
const std::vector<Loops>& usable() {
  static const std::vector<Loops> all = [] {
    std::vector<Loops> found;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
      found.push_back(avx512::kLoops);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(avx2::kLoops);
#endif
    found.push_back(portable::kLoops);
    return found;
  }();
  return all;
}

std::atomic<size_t> chosen{0};

const Loops& loops() { return usable()[chosen]; }

using Floats = ffi::Buffer<ffi::F32>;
using Window = ffi::Span<const int64_t>;

// Sizes from the shapes of the arguments, checked: no loop may leave its arrays.
Sizes sizes_of(ffi::Span<const int64_t> x, ffi::Span<const int64_t> kernel, ffi::Span<const int64_t> out, Window pool,
               Window stride) {
  if (x.size() != 5 || kernel.size() != 5 || out.size() != 5 || pool.size() != 3 || stride.size() != 3)
    throw std::invalid_argument("expected x, kernel and output of rank 5 and windows of rank 3");
  const Sizes s{x[0],    x[1],    x[2],      x[3],      x[4],      kernel[0], kernel[1], kernel[2], kernel[4], pool[0],
                pool[1], pool[2], stride[0], stride[1], stride[2], out[1],    out[2],    out[3]};
  const int64_t least = std::min({s.c, s.kt, s.kh, s.kw, s.d, s.pt, s.ph, s.pw, s.st, s.sh, s.sw, s.t2, s.h2, s.w2});
  if (least < 1 || kernel[3] != s.c || out[0] != s.clips || out[4] != s.d ||
      (s.t2 - 1) * s.st + s.pt + s.kt - 1 > s.t || (s.h2 - 1) * s.sh + s.ph + s.kh - 1 > s.h ||
      (s.w2 - 1) * s.sw + s.pw + s.kw - 1 > s.w || s.window() > std::numeric_limits<int32_t>::max())
    throw std::invalid_argument("shapes of x, kernel, output and pool do not fit each other");
  return s;
}

void check_place(const Sizes& s, const ffi::AnyBuffer& place) {
  const auto expected = s.narrow_place() ? ffi::U8 : ffi::S32;
  if (place.element_type() != expected || static_cast<int64_t>(place.element_count()) != s.clips * s.clip_out())
    throw std::invalid_argument("positions have another type or number than the output");
}

template <typename Work>
ffi::Error guarded(const Work& work, const char* name = "conv_pool: ") {
  try {
    work();
    return ffi::Error::Success();
  } catch (const std::exception& fault) {
    return ffi::Error(ffi::ErrorCode::kInternal, std::string(name) + fault.what());
  }
}

// Where the input of an output frame begins. At the end of the array it is a copy in `end`, behind which loops may read.
const float* read_frames(const Sizes& s, const float* x, int64_t frame, std::vector<float>& end) {
  const int64_t from = frame / s.t2 * s.clip_in() + frame % s.t2 * s.st * s.frame_in();
  const int64_t length = (s.pt + s.kt - 1) * s.frame_in();
  if (from + length + kReadBeyond <= s.clips * s.clip_in()) return x + from;
  end.assign(x + from, x + from + length);
  end.resize(length + kReadBeyond);
  return end.data();
}

void forward(ffi::ThreadPool& pool, const Sizes& s, const Floats& x, const Floats& kernel, const Floats& bias,
             float* out, char* place) {
  if (static_cast<int64_t>(bias.element_count()) != s.d) throw std::invalid_argument("expected one bias a filter");
  const Loops& isa = loops();
  std::vector<float> packed(isa.packed_size(s));
  isa.pack(s, kernel.typed_data(), packed.data());
  divide(pool, s.clips * s.t2, [&](auto next) {
    Scratch scratch;
    std::vector<float> end;
    for (int64_t unit; (unit = next()) >= 0;) {
      const float* in = read_frames(s, x.typed_data(), unit, end);
      const int64_t to = unit * s.frame_out();
      isa.forward(s, in, packed.data(), bias.typed_data(), out + to, place ? place + to * s.place_size() : nullptr,
                  scratch);
    }
  });
}

ffi::Error Infer(ffi::ThreadPool pool, Window size, Window stride, Floats x, Floats kernel, Floats bias,
                 ffi::Result<Floats> out) {
  return guarded([&] {
    const Sizes s = sizes_of(x.dimensions(), kernel.dimensions(), out->dimensions(), size, stride);
    forward(pool, s, x, kernel, bias, out->typed_data(), nullptr);
  });
}

ffi::Error Forward(ffi::ThreadPool pool, Window size, Window stride, Floats x, Floats kernel, Floats bias,
                   ffi::Result<Floats> out, ffi::Result<ffi::AnyBuffer> place) {
  return guarded([&] {
    const Sizes s = sizes_of(x.dimensions(), kernel.dimensions(), out->dimensions(), size, stride);
    check_place(s, *place);
    forward(pool, s, x, kernel, bias, out->typed_data(), static_cast<char*>(place->untyped_data()));
  });
}

// Output frames are summed in parts, and the parts in their order: as many as sizes say, not as there are threads.
int64_t parts_of(int64_t frames, int64_t part_size) {
  constexpr int64_t kMostParts = 64, kMostFloats = int64_t{1} << 24;
  return std::min({frames, kMostParts, std::max<int64_t>(1, kMostFloats / part_size)});
}

ffi::Error KernelGradient(ffi::ThreadPool pool, Window size, Window stride, Floats x, Floats out, Floats cotangent,
                          ffi::AnyBuffer place, ffi::Result<Floats> kernel_bar, ffi::Result<Floats> bias_bar) {
  return guarded([&] {
    const Sizes s = sizes_of(x.dimensions(), kernel_bar->dimensions(), out.dimensions(), size, stride);
    check_place(s, place);
    if (cotangent.element_count() != out.element_count() || static_cast<int64_t>(bias_bar->element_count()) != s.d)
      throw std::invalid_argument("cotangents have another size than what they belong to");
    const Loops& isa = loops();
    const int64_t sums_size = isa.gradient_size(s), part_size = sums_size + s.d;
    const int64_t frames = s.clips * s.t2, parts = parts_of(frames, part_size);
    std::vector<float> sums(std::max<int64_t>(1, parts) * part_size);
    divide(pool, parts, [&](auto next) {
      Scratch scratch;
      std::vector<float> end;
      for (int64_t part; (part = next()) >= 0;) {
        float* kernel_sum = sums.data() + part * part_size;
        for (int64_t i = part * frames / parts; i < (part + 1) * frames / parts; ++i) {
          const int64_t at = i * s.frame_out();
          const float* in = read_frames(s, x.typed_data(), i, end);
          isa.kernel_gradient(s, in, out.typed_data() + at, cotangent.typed_data() + at,
                              static_cast<const char*>(place.untyped_data()) + at * s.place_size(), kernel_sum,
                              kernel_sum + sums_size, scratch);
        }
      }
    });
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = 0; i < part_size; ++i) sums[i] += sums[part * part_size + i];
    isa.unpack_gradient(s, sums.data(), kernel_bar->typed_data());
    std::copy_n(sums.data() + sums_size, s.d, bias_bar->typed_data());
  });
}

ffi::Error InputGradient(ffi::ThreadPool pool, Window size, Window stride, Floats kernel, Floats out,
                         Floats cotangent, ffi::AnyBuffer place, ffi::Result<Floats> x_bar) {
  return guarded([&] {
    const Sizes s = sizes_of(x_bar->dimensions(), kernel.dimensions(), out.dimensions(), size, stride);
    check_place(s, place);
    if (cotangent.element_count() != out.element_count())
      throw std::invalid_argument("cotangents have another size than what they belong to");
    const Loops& isa = loops();
    std::vector<float> by_filter(isa.by_filter_size(s));
    isa.pack_by_filter(s, kernel.typed_data(), by_filter.data());
    divide(pool, s.clips, [&](auto next) {
      std::vector<float> one(s.clip_in() + kReadBeyond);
      for (int64_t clip; (clip = next()) >= 0;) {
        const int64_t from = clip * s.clip_out();
        isa.input_gradient(s, by_filter.data(), out.typed_data() + from, cotangent.typed_data() + from,
                           static_cast<const char*>(place.untyped_data()) + from * s.place_size(), one.data());
        std::copy_n(one.data(), s.clip_in(), x_bar->typed_data() + clip * s.clip_in());
      }
    });
  });
}

#include "adam_calls.h"
#include "small_conv_calls.h"

// Clips of a corpus [n t h w] by index. A map takes (column, row, 1), from the middle of a face, to where it is sampled.
ffi::Error LoadFaces(ffi::ThreadPool pool, ffi::Buffer<ffi::U8> pictures, ffi::Buffer<ffi::S32> index,
                     ffi::Buffer<ffi::PRED> changed, Floats map, Floats gain, Floats offset, ffi::RemainingRets parts) {
  return guarded([&] {
    const auto size = pictures.dimensions();
    const int64_t clips = index.element_count(), number = parts.size();
    if (size.size() != 4 || number < 1 || size[2] < 2 || size[3] < 2 || size[3] % kReadBeyond || size[2] % number ||
        static_cast<int64_t>(changed.element_count()) != clips || static_cast<int64_t>(map.element_count()) != 6 * clips ||
        static_cast<int64_t>(gain.element_count()) != clips || static_cast<int64_t>(offset.element_count()) != clips)
      throw std::invalid_argument("shapes of faces, indices and changes do not fit each other");
    const Faces s{size[1], size[2], size[3], number};
    const int64_t part_size = s.t * s.h * s.w / number;
    std::vector<float*> to;
    for (int64_t i = 0; i < number; ++i) {
      auto part = parts.get<Floats>(i);
      if (part.has_error() || static_cast<int64_t>((*part)->element_count()) != clips * part_size)
        throw std::invalid_argument("parts of faces have another type or number than the clips");
      to.push_back((*part)->typed_data());
    }
    divide(pool, clips, [&](auto next) {
      FaceScratch scratch;
      std::vector<float*> out(number);
      for (int64_t i; (i = next()) >= 0;) {
        const int64_t clip = std::clamp<int64_t>(index.typed_data()[i], 0, size[0] - 1);
        for (int64_t k = 0; k < number; ++k) out[k] = to[k] + i * part_size;
        loops().load_face(s, pictures.typed_data() + clip * s.t * s.h * s.w,
                          changed.typed_data()[i] ? map.typed_data() + 6 * i : nullptr, gain.typed_data()[i],
                          offset.typed_data()[i], out.data(), scratch);
      }
    });
  });
}

// What every call begins with.
auto BindWindow() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<Window>("pool_size").Attr<Window>("pool_stride");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_conv_pool_infer, Infer,
                              BindWindow()
                                  .Arg<Floats>()   // x
                                  .Arg<Floats>()   // kernel
                                  .Arg<Floats>()   // bias
                                  .Ret<Floats>());  // output

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_conv_pool_forward, Forward,
                              BindWindow()
                                  .Arg<Floats>()            // x
                                  .Arg<Floats>()            // kernel
                                  .Arg<Floats>()            // bias
                                  .Ret<Floats>()            // output
                                  .Ret<ffi::AnyBuffer>());  // position of each maximum in its window

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_conv_pool_kernel_gradient, KernelGradient,
                              BindWindow()
                                  .Arg<Floats>()          // x
                                  .Arg<Floats>()          // output
                                  .Arg<Floats>()          // its cotangent
                                  .Arg<ffi::AnyBuffer>()  // position
                                  .Ret<Floats>()          // gradient of the kernel
                                  .Ret<Floats>());        // gradient of the bias

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_conv_pool_input_gradient, InputGradient,
                              BindWindow()
                                  .Arg<Floats>()          // kernel
                                  .Arg<Floats>()          // output
                                  .Arg<Floats>()          // its cotangent
                                  .Arg<ffi::AnyBuffer>()  // position
                                  .Ret<Floats>());        // gradient of x

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_small_conv_forward, SmallForward,
                              BindSmall()
                                  .Arg<Floats>()           // x
                                  .Arg<Floats>()           // kernel
                                  .Arg<Floats>()           // bias
                                  .Arg<Floats>()           // sign
                                  .Ret<Floats>()           // output
                                  .Ret<Places>()   // position of each maximum in its window
                                  .Ret<Floats>());         // sums

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_small_conv_weight_gradient, SmallWeightGradient,
                              BindSmallGradient()
                                  .Ret<Floats>()    // gradient of the kernel
                                  .Ret<Floats>());  // gradient of the bias

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_small_conv_input_gradient, SmallInputGradient,
                              BindSmallGradient().Ret<Floats>());  // gradient of x

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_load_faces, LoadFaces,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::U8>>()    // corpus
                                  .Arg<ffi::Buffer<ffi::S32>>()   // which clips
                                  .Arg<ffi::Buffer<ffi::PRED>>()  // which of them are changed
                                  .Arg<Floats>()                  // maps
                                  .Arg<Floats>()                  // gains
                                  .Arg<Floats>()                  // offsets
                                  .RemainingRets());              // parts of faces

XLA_FFI_DEFINE_HANDLER_SYMBOL(mer_adam_step, AdamStep,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<double>("b1")
                                  .Attr<double>("b2")
                                  .Attr<double>("epsilon")
                                  .Arg<Floats>()     // step size, correction of the squares, decay
                                  .RemainingArgs()   // gradients, weights, means, squares
                                  .RemainingRets());  // weights, means, squares

// Name of instruction set `index` of those that this processor can run, the fastest first; null beyond the last.
extern "C" const char* mer_conv_pool_isa(size_t index) {
  return index < usable().size() ? usable()[index].name : nullptr;
}

// Chooses one of them for all calls from now on; the first is the default.
extern "C" void mer_conv_pool_choose(size_t index) { chosen = std::min(index, usable().size() - 1); }
