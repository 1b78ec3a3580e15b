// Vindex `binary`: the id is the value's bytes.

#include "shard/functions.h"

namespace vitrail::shard {

namespace {

class Binary final : public Vindex {
 public:
  explicit Binary(std::string_view name) : Vindex("binary", name) {}
  int cost() const override { return 0; }
  bool is_reversible() const override { return true; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    VindexValue::Scratch scratch;
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes = columns[0].to_bytes(scratch);
    return {};
  }

  Result<ColumnValue> reverse_map(const KeyspaceId& id) const override { return ColumnValue(id.bytes); }

  std::optional<IdInterval> map_between(const VindexValue& from, const VindexValue& to) const override {
    // Integers are in the order of their digits here, not of their values.
    const auto is_bytes = [](const VindexValue& v) {
      return v.kind() == VindexValue::Kind::kBytes || v.kind() == VindexValue::Kind::kHex;
    };
    if (!is_bytes(from) || !is_bytes(to)) return std::nullopt;
    VindexValue::Scratch scratch;
    return IdInterval{KeyspaceId::from_bytes(from.to_bytes(scratch)), KeyspaceId::from_bytes(to.to_bytes(scratch))};
  }
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_binary(std::string_view name, ParameterReader&) {
  return std::make_unique<Binary>(name);
}

}  // namespace vitrail::shard
