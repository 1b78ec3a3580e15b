// Vindex `binary_md5`: the id is the MD5 of the value's bytes.

#include "shard/digest.h"
#include "shard/functions.h"

namespace vitrail::shard {

namespace {

class BinaryMd5 final : public Vindex {
 public:
  explicit BinaryMd5(std::string_view name) : Vindex("binary_md5", name) {}
  int cost() const override { return 1; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    VindexValue::Scratch scratch;
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes.clear();
    return append_md5(columns[0].to_bytes(scratch), out.keyspace_id.bytes);
  }
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_binary_md5(std::string_view name, ParameterReader&) {
  return std::make_unique<BinaryMd5>(name);
}

}  // namespace vitrail::shard
