// Vindex `numeric`: the id is the number itself, eight bytes, big-endian.

#include "shard/functions.h"

namespace vitrail::shard {

namespace {

class Numeric final : public Vindex {
 public:
  explicit Numeric(std::string_view name) : Vindex("numeric", name) {}
  int cost() const override { return 0; }
  bool is_reversible() const override { return true; }
  IntegerFunction integer_function() const override {
    return {[](uint64_t v) { return v; }, false};
  }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    if (const auto number = columns[0].to_u64()) {
      out.set_u64(*number);
    } else {
      out.set_none();
    }
    return {};
  }

  Result<ColumnValue> reverse_map(const KeyspaceId& id) const override {
    ASSIGN_OR_RETURN(const uint64_t number, id_as_u64(id));
    return ColumnValue(number);
  }

  std::optional<IdInterval> map_between(const VindexValue& from, const VindexValue& to) const override {
    const auto first = from.to_u64();
    const auto last = to.to_u64();
    if (!first || !last) return std::nullopt;
    return IdInterval{KeyspaceId::from_u64(*first), KeyspaceId::from_u64(*last)};
  }
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_numeric(std::string_view name, ParameterReader&) {
  return std::make_unique<Numeric>(name);
}

}  // namespace vitrail::shard
