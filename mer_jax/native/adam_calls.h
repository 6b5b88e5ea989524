// The call of adam.h; part of conv_pool.cc. Weights, means and squares are updated in place: results have the memory of
// their arguments.

constexpr int64_t kAdamUnit = int64_t{1} << 14;    // weights in a unit of work
constexpr int64_t kAdamThread = int64_t{1} << 18;  // weights that are worth a thread

// Some neighbouring weights of one array.
struct AdamUnit {
  const float* gradient;
  float *weight, *mean, *square;
  int64_t count;
};

// The memory of a result, which holds the argument: XLA has copied it there if the two are not the same.
float* in_place(const Floats& argument, const Floats& result, size_t count) {
  if (argument.element_count() != count || result.element_count() != count)
    throw std::invalid_argument("gradients, weights, means and squares have different sizes");
  if (argument.typed_data() != result.typed_data()) std::copy_n(argument.typed_data(), count, result.typed_data());
  return result.typed_data();
}

// Arguments are n gradients, n arrays of weights, of means and of squares; results the last three.
ffi::Error AdamStep(ffi::ThreadPool pool, double b1, double b2, double epsilon, Floats numbers,
                    ffi::RemainingArgs arguments, ffi::RemainingRets results) {
  const auto work = [&] {
    const size_t arrays = arguments.size() / 4;
    if (numbers.element_count() != 3 || arguments.size() != 4 * arrays || results.size() != 3 * arrays)
      throw std::invalid_argument("expected three numbers, and a gradient, weights, means and squares of every array");
    const float* n = numbers.typed_data();
    const auto rounded = [](double x) { return static_cast<float>(x); };
    const Adam adam{rounded(1 - b1),  rounded(b1), rounded(1 - b2), rounded(b2),
                    rounded(epsilon), n[0],        n[1],            n[2]};
    const auto argument = [&](size_t i) { return arguments.get<Floats>(i).value(); };
    std::vector<AdamUnit> units;
    int64_t total = 0;
    for (size_t i = 0; i < arrays; ++i) {
      const Floats gradient = argument(i);
      const int64_t count = gradient.element_count();
      float* state[3];
      for (size_t k = 0; k < 3; ++k)
        state[k] = in_place(argument((k + 1) * arrays + i), *results.get<Floats>(k * arrays + i).value(), count);
      for (int64_t at = 0; at < count; at += kAdamUnit)
        units.push_back({gradient.typed_data() + at, state[0] + at, state[1] + at, state[2] + at,
                         std::min(kAdamUnit, count - at)});
      total += count;
    }
    const auto run = [&](auto next) {
      for (int64_t i; (i = next()) >= 0;) {
        const AdamUnit& u = units[i];
        loops().adam(adam, u.gradient, u.weight, u.mean, u.square, u.count);
      }
    };
    divide(pool, units.size(), run, 1 + total / kAdamThread);
  };
  return guarded(work, "adam: ");
}
