// Vindex `reverse_bits`: the id is the number with its bits in reverse order, so that ascending numbers spread.

#include "shard/functions.h"

namespace vitrail::shard {

namespace {

uint64_t reverse_bits(uint64_t v) { return __builtin_bitreverse64(v); }

class ReverseBits final : public Vindex {
 public:
  explicit ReverseBits(std::string_view name) : Vindex("reverse_bits", name) {}
  int cost() const override { return 1; }
  bool is_reversible() const override { return true; }
  IntegerFunction integer_function() const override { return {&reverse_bits, false}; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    if (const auto number = columns[0].to_u64()) {
      out.set_u64(reverse_bits(*number));
    } else {
      out.set_none();
    }
    return {};
  }

  Result<ColumnValue> reverse_map(const KeyspaceId& id) const override {
    ASSIGN_OR_RETURN(const uint64_t number, id_as_u64(id));
    return ColumnValue(reverse_bits(number));
  }
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_reverse_bits(std::string_view name, ParameterReader&) {
  return std::make_unique<ReverseBits>(name);
}

}  // namespace vitrail::shard
