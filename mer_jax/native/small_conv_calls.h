// The calls of small_conv.h; part of conv_pool.cc.

// Shapes: x [g b h w c], kernel [g kh kw c d], bias and sign [g d], output and position [g b h2 w2 d], sums [g 2 d] of
// values and squares, or [g 0 d]. padding: top, bottom, left, right. pool: height, width, then its padding likewise.
Small small_of(ffi::Span<const int64_t> x, ffi::Span<const int64_t> kernel, ffi::Span<const int64_t> out,
               ffi::Span<const int64_t> sums, Window padding, Window pool) {
  if (x.size() != 5 || kernel.size() != 5 || out.size() != 5 || sums.size() != 3 || padding.size() != 4 ||
      pool.size() != 6)
    throw std::invalid_argument("expected x, kernel and output of rank 5, sums of rank 3, 4 sides and 6 of the pool");
  Small s{};
  s.groups = x[0], s.clips = x[1], s.h = x[2], s.w = x[3], s.c = x[4];
  s.kh = kernel[1], s.kw = kernel[2], s.d = kernel[4];
  s.top = padding[0], s.left = padding[2];
  s.hp = s.h + padding[0] + padding[1], s.wp = s.w + padding[2] + padding[3];
  s.ph = pool[0], s.pw = pool[1], s.pool_top = pool[2], s.pool_left = pool[4];
  s.h2 = out[2], s.w2 = out[3];
  s.with_sums = sums[1] == 2;
  const int64_t least = std::min({s.h, s.w, s.c, s.kh, s.kw, s.d, s.ph, s.pw, s.h2, s.w2, s.hc(), s.wc()});
  const auto bad_side = [](int64_t side, int64_t below) { return side < 0 || side >= below; };
  if (least < 1 || std::min({padding[0], padding[1], padding[2], padding[3]}) < 0 || bad_side(pool[2], s.ph) ||
      bad_side(pool[3], s.ph) || bad_side(pool[4], s.pw) || bad_side(pool[5], s.pw) || kernel[0] != s.groups ||
      kernel[3] != s.c || out[0] != s.groups || out[1] != s.clips || out[4] != s.d || sums[0] != s.groups ||
      (sums[1] != 0 && sums[1] != 2) || sums[2] != s.d || s.h2 != (s.hc() + pool[2] + pool[3]) / s.ph ||
      s.w2 != (s.wc() + pool[4] + pool[5]) / s.pw || s.ph * s.pw > 256)
    throw std::invalid_argument("shapes of pictures, kernel, output and pool do not fit each other");
  return s;
}

template <typename Work>
ffi::Error guarded_small(const Work& work) {
  return guarded(work, "small_conv: ");
}

using Places = ffi::Buffer<ffi::U8>;

void check_small(const Small& s, const Places& place, const Floats& bias) {
  if (static_cast<int64_t>(place.element_count()) != s.groups * s.clips * s.out() ||
      static_cast<int64_t>(bias.element_count()) != s.groups * s.d)
    throw std::invalid_argument("positions or bias have another number than the output");
}

// Filters of all groups in the order of the loops.
struct Packed {
  int64_t size;
  std::vector<float> floats;

  Packed(const Loops& isa, const Sizes& sizes, int64_t groups, const float* kernel)
      : size(isa.packed_size(sizes)), floats(groups * size) {
    for (int64_t g = 0; g < groups; ++g) isa.pack(sizes, kernel + g * sizes.taps() * sizes.d, of(g));
  }
  float* of(int64_t group) { return floats.data() + group * size; }
};

// A picture between its zeros, in memory of the thread; vectors may read beyond its end.
const float* pad(const Small& s, const float* x, std::vector<float>& padded) {
  padded.resize(s.padded() + kReadBeyond);  // zeros, and its border stays so
  for (int64_t r = 0; r < s.h; ++r)
    std::copy_n(x + r * s.w * s.c, s.w * s.c, padded.data() + ((r + s.top) * s.wp + s.left) * s.c);
  return padded.data();
}

// The clips of a group are summed in parts, and the parts in their order: as many as sizes say.
int64_t small_parts(const Small& s) { return std::max<int64_t>(1, std::min<int64_t>(s.clips, 32)); }

// Threads that are worth their start: each should have some tenths of a millisecond to do.
int64_t small_threads(const Small& s) {
  constexpr int64_t kWorth = int64_t{1} << 24;  // multiplications
  return 1 + s.groups * s.clips * s.hc() * s.wc() * s.kernel() / kWorth;
}

// Runs `work(group, part, clip begin, clip end)` for all parts.
template <typename Work>
void over_parts(ffi::ThreadPool& pool, const Small& s, const Work& work) {
  const int64_t parts = small_parts(s);
  divide(
      pool, s.groups * parts,
      [&](auto next) {
        Scratch scratch;
        std::vector<float> padded;
        for (int64_t unit; (unit = next()) >= 0;) {
          const int64_t g = unit / parts, part = unit % parts;
          for (int64_t i = part * s.clips / parts; i < (part + 1) * s.clips / parts; ++i)
            work(g, unit, g * s.clips + i, padded, scratch);
        }
      },
      small_threads(s));
}

ffi::Error SmallForward(ffi::ThreadPool pool, Window padding, Window window, Floats x, Floats kernel, Floats bias,
                        Floats sign, ffi::Result<Floats> out, ffi::Result<Places> place,
                        ffi::Result<Floats> sums) {
  return guarded_small([&] {
    const Small s =
        small_of(x.dimensions(), kernel.dimensions(), out->dimensions(), sums->dimensions(), padding, window);
    check_small(s, *place, bias);
    if (sign.element_count() != bias.element_count()) throw std::invalid_argument("expected one sign a filter");
    const Loops& isa = loops();
    Packed packed(isa, s.as_clip(), s.groups, kernel.typed_data());
    const int64_t parts = small_parts(s), numbers = s.with_sums ? 2 * s.d : 0;
    std::vector<double> part_sums(s.groups * parts * numbers);
    over_parts(pool, s, [&](int64_t g, int64_t unit, int64_t clip, std::vector<float>& padded, Scratch& scratch) {
      isa.small.forward(s, pad(s, x.typed_data() + clip * s.picture(), padded), packed.of(g),
                        bias.typed_data() + g * s.d, sign.typed_data() + g * s.d, out->typed_data() + clip * s.out(),
                        place->typed_data() + clip * s.out(),
                        numbers ? part_sums.data() + unit * numbers : nullptr, scratch);
    });
    for (int64_t g = 0; g < s.groups; ++g)
      for (int64_t i = 0; i < numbers; ++i) {
        double total = 0;
        for (int64_t part = 0; part < parts; ++part) total += part_sums[(g * parts + part) * numbers + i];
        sums->typed_data()[g * numbers + i] = static_cast<float>(total);
      }
  });
}

ffi::Error SmallWeightGradient(ffi::ThreadPool pool, Window padding, Window window, Floats x, Floats kernel,
                               Floats bias, Places place, Floats out_bar, Floats sums_bar,
                               ffi::Result<Floats> kernel_bar, ffi::Result<Floats> bias_bar) {
  return guarded_small([&] {
    const Small s =
        small_of(x.dimensions(), kernel.dimensions(), out_bar.dimensions(), sums_bar.dimensions(), padding, window);
    check_small(s, place, bias);
    if (kernel_bar->element_count() != kernel.element_count() || bias_bar->element_count() != bias.element_count())
      throw std::invalid_argument("gradients have another size than what they belong to");
    const Loops& isa = loops();
    Packed packed(isa, s.as_clip(), s.groups, kernel.typed_data());
    const int64_t parts = small_parts(s), numbers = packed.size + s.d;
    std::vector<float> part_sums(s.groups * parts * numbers);
    over_parts(pool, s, [&](int64_t g, int64_t unit, int64_t clip, std::vector<float>& padded, Scratch& scratch) {
      float* to = part_sums.data() + unit * numbers;
      isa.small.weight_gradient(s, pad(s, x.typed_data() + clip * s.picture(), padded), packed.of(g),
                                bias.typed_data() + g * s.d,
                                place.typed_data() + clip * s.out(),
                                out_bar.typed_data() + clip * s.out(),
                                s.with_sums ? sums_bar.typed_data() + g * 2 * s.d : nullptr, to, to + packed.size,
                                scratch);
    });
    for (int64_t g = 0; g < s.groups; ++g) {
      float* total = part_sums.data() + g * parts * numbers;
      for (int64_t part = 1; part < parts; ++part)
        for (int64_t i = 0; i < numbers; ++i) total[i] += total[part * numbers + i];
      isa.unpack(s.as_clip(), total, kernel_bar->typed_data() + g * s.kernel());
      std::copy_n(total + packed.size, s.d, bias_bar->typed_data() + g * s.d);
    }
  });
}

ffi::Error SmallInputGradient(ffi::ThreadPool pool, Window padding, Window window, Floats x, Floats kernel,
                              Floats bias, Places place, Floats out_bar, Floats sums_bar,
                              ffi::Result<Floats> x_bar) {
  return guarded_small([&] {
    const Small s =
        small_of(x.dimensions(), kernel.dimensions(), out_bar.dimensions(), sums_bar.dimensions(), padding, window);
    check_small(s, place, bias);
    if (x_bar->element_count() != x.element_count())
      throw std::invalid_argument("gradients have another size than what they belong to");
    const Loops& isa = loops();
    std::vector<float> turned(s.groups * s.kernel());  // [g kh kw d c], from the last tap to the first
    for (int64_t g = 0; g < s.groups; ++g)
      for (int64_t tap = 0; tap < s.kh * s.kw; ++tap)
        for (int64_t i = 0; i < s.c; ++i)
          for (int64_t k = 0; k < s.d; ++k)
            turned[g * s.kernel() + ((s.kh * s.kw - 1 - tap) * s.d + k) * s.c + i] =
                kernel.typed_data()[g * s.kernel() + (tap * s.c + i) * s.d + k];
    Packed packed(isa, s.as_clip(), s.groups, kernel.typed_data());
    Packed transposed(isa, s.transposed(), s.groups, turned.data());
    const int64_t stride = s.wp + s.kw - 1;
    over_parts(pool, s, [&](int64_t g, int64_t, int64_t clip, std::vector<float>& padded, Scratch& scratch) {
      thread_local std::vector<float> conv_bar;
      conv_bar.assign((s.hp + s.kh - 1) * stride * s.d, 0.0f);
      isa.small.conv_gradient(s, pad(s, x.typed_data() + clip * s.picture(), padded), packed.of(g),
                              bias.typed_data() + g * s.d,
                              place.typed_data() + clip * s.out(),
                              out_bar.typed_data() + clip * s.out(),
                              s.with_sums ? sums_bar.typed_data() + g * 2 * s.d : nullptr, conv_bar.data(), scratch);
      for (int64_t r = 0; r < s.h; ++r)
        isa.small.input_row(s, conv_bar.data() + ((r + s.top) * stride + s.left) * s.d, transposed.of(g),
                            x_bar->typed_data() + clip * s.picture() + r * s.w * s.c, s.w, scratch);
    });
  });
}

auto BindSmall() { return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<Window>("padding").Attr<Window>("pool"); }

auto BindSmallGradient() {
  return BindSmall()
      .Arg<Floats>()          // x
      .Arg<Floats>()          // kernel
      .Arg<Floats>()          // bias
      .Arg<Places>()  // position
      .Arg<Floats>()          // cotangent of the output
      .Arg<Floats>();         // cotangent of the sums
}
