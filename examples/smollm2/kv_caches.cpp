// SPDX-License-Identifier: BSL-1.0
#include "kv_caches.hpp"

#include <oriel/interop/owning.hpp>
#include <stdexcept>

namespace smollm2 {
namespace {

using oriel::index;

template <class Stored>
class caches_of final : public kv_caches {
 public:
  using model = oriel::model_cache<Stored>;
  using cache = typename model::layer_cache;

  explicit caches_of(oriel::model_config const& config)
      : bytes_(model::required_bytes(config)), all_(bytes_.span(), config) {
    if (oriel::status const s = all_.check(); !s.ok()) {
      throw std::runtime_error(std::string("--kv: ") + s.what);
    }
    for (index i = 0; i < config.layer_count(); ++i) {
      row_bytes_ += cache::required_bytes(config.shape_of(i, cache::group));
    }
  }
  oriel::any_source joined_with(index layer, view const& k, view const& v) const override {
    return oriel::joined(all_.at(0, layer), k, v);
  }
  oriel::status append(index layer, view const& k, view const& v) override {
    return all_.append(0, layer, k, v);
  }
  oriel::status truncate(index position) override { return all_.truncate(0, position); }
  index row_bytes() const override { return row_bytes_; }
  index capacity() const override { return all_.at(0, 0).capacity(); }
  index held() const override { return oriel::any_source(all_.at(0, 0)).held(); }

 private:
  oriel::aligned_bytes bytes_;
  model all_;
  index row_bytes_ = 0;
};

template <class Codec>
std::unique_ptr<kv_caches> make(bool rotate, oriel::model_config const& config) {
  if (rotate) return std::make_unique<caches_of<oriel::rotated<Codec>>>(config);
  return std::make_unique<caches_of<Codec>>(config);
}

}  // namespace

std::unique_ptr<kv_caches> make_kv_caches(std::string const& kv, bool rotate,
                                          oriel::model_config const& config) {
  if (kv == "f32") return make<oriel::f32>(rotate, config);
  if (kv == "bf16") return make<oriel::bf16>(rotate, config);
  if (kv == "f16") return make<oriel::f16>(rotate, config);
  if (kv == "int8") return make<oriel::int8>(rotate, config);
  if (kv == "int4") return make<oriel::int4>(rotate, config);
  if (kv == "q8_0") return make<oriel::q8_0>(rotate, config);
  if (kv == "q4_0") return make<oriel::q4_0>(rotate, config);
  if (kv != "kivi2") throw std::runtime_error("--kv: there is no storage named " + kv);
  if (rotate) throw std::runtime_error("--rotate: kivi2 quantises keys by channel: not with it");
  return std::make_unique<caches_of<oriel::kivi_cache<2, 32>>>(config);
}

}  // namespace smollm2
