// SPDX-License-Identifier: BSL-1.0
#include "layer_cache.hpp"

#include <oriel/interop/owning.hpp>
#include <stdexcept>

namespace smollm2 {
namespace {

template <class Cache>
class cache_of final : public layer_cache {
 public:
  explicit cache_of(oriel::cache_shape const& shape)
      : bytes_(Cache::required_bytes(shape)), cache_(bytes_.span(), shape) {
    if (oriel::status const s = cache_.check(); !s.ok()) {
      throw std::runtime_error(std::string("--kv: ") + s.what);
    }
  }
  oriel::any_source joined_with(view const& k, view const& v) const override {
    return oriel::joined(cache_, k, v);
  }
  oriel::status append(view const& k, view const& v) override { return cache_.append(k, v); }
  oriel::status truncate(oriel::index position) override { return cache_.truncate(position); }
  oriel::index bytes() const override { return bytes_.size(); }
  oriel::index capacity() const override { return cache_.capacity(); }
  oriel::index held() const override { return oriel::any_source(cache_).held(); }

 private:
  oriel::aligned_bytes bytes_;
  Cache cache_;
};

template <class Codec>
std::unique_ptr<layer_cache> make(bool rotate, oriel::cache_shape const& shape) {
  using rotated = oriel::rolling_cache<oriel::rotated<Codec>>;
  if (rotate) return std::make_unique<cache_of<rotated>>(shape);
  return std::make_unique<cache_of<oriel::rolling_cache<Codec>>>(shape);
}

}  // namespace

std::unique_ptr<layer_cache> make_layer_cache(std::string const& kv, bool rotate,
                                              oriel::cache_shape const& shape) {
  if (kv == "f32") return make<oriel::f32>(rotate, shape);
  if (kv == "bf16") return make<oriel::bf16>(rotate, shape);
  if (kv == "f16") return make<oriel::f16>(rotate, shape);
  if (kv == "int8") return make<oriel::int8>(rotate, shape);
  if (kv == "int4") return make<oriel::int4>(rotate, shape);
  if (kv == "q8_0") return make<oriel::q8_0>(rotate, shape);
  if (kv == "q4_0") return make<oriel::q4_0>(rotate, shape);
  if (kv != "kivi2") throw std::runtime_error("--kv: there is no storage named " + kv);
  if (rotate) throw std::runtime_error("--rotate: kivi2 quantises keys by channel: not with it");
  return std::make_unique<cache_of<oriel::kivi_cache<2, 32>>>(shape);
}

}  // namespace smollm2
