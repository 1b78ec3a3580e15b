// Vindex `xxhash`: the id is the xxHash64 of the value's bytes (an integer's are its decimal digits).

#include "shard/digest.h"
#include "shard/functions.h"

namespace vitrail::shard {

namespace {

class Xxhash final : public Vindex {
 public:
  explicit Xxhash(std::string_view name) : Vindex("xxhash", name) {}
  int cost() const override { return 1; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    VindexValue::Scratch scratch;
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes.clear();
    append_xxhash64(columns[0].to_bytes(scratch), out.keyspace_id.bytes);
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_xxhash(std::string_view name, ParameterReader&) {
  return std::make_unique<Xxhash>(name);
}

}  // namespace vitrail::shard
