// Vindexes `unicode_loose_md5` and `unicode_loose_xxhash`: the hash of the text's primary collation weights, so that
// texts which differ only in case, accents or trailing blanks have one id.

#include <fmt/core.h>

#include "shard/digest.h"
#include "shard/functions.h"
#include "shard/unicode_weights.h"

namespace vitrail::shard {

namespace {

class UnicodeLoose final : public Vindex {
 public:
  enum class Hash : uint8_t { kMd5, kXxhash64 };

  UnicodeLoose(std::string_view type, std::string_view name, Hash hash) : Vindex(type, name), hash_(hash) {}
  int cost() const override { return 1; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    VindexValue::Scratch scratch;
    std::string weights;
    auto status = append_primary_weights(columns[0].to_bytes(scratch), weights);
    if (!status) return std::move(status).error().with_context(fmt::format("vindex {}", name()));
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes.clear();
    if (hash_ == Hash::kMd5) return append_md5(weights, out.keyspace_id.bytes);
    append_xxhash64(weights, out.keyspace_id.bytes);
    return {};
  }

 private:
  Hash hash_;
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_unicode_loose_md5(std::string_view name, ParameterReader&) {
  return std::make_unique<UnicodeLoose>("unicode_loose_md5", name, UnicodeLoose::Hash::kMd5);
}

Result<std::unique_ptr<Vindex>> make_unicode_loose_xxhash(std::string_view name, ParameterReader&) {
  return std::make_unique<UnicodeLoose>("unicode_loose_xxhash", name, UnicodeLoose::Hash::kXxhash64);
}

}  // namespace vitrail::shard
