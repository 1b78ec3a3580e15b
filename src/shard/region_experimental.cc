// Vindex `region_experimental`: one or two bytes of a region number, then the hash of a second column. Without the
// second column: the range of the region.

#include <fmt/core.h>

#include "shard/functions.h"
#include "shard/hash.h"
#include "shard/region.h"

namespace vitrail::shard {

Result<size_t> region_bytes_parameter(std::string_view type, ParameterReader& parameters) {
  const std::string* bytes = parameters.find("region_bytes");
  if (bytes == nullptr) return fail(Code::kInvalidArgument, fmt::format("{} missing region_bytes param", type));
  if (*bytes == "1") return size_t{1};
  if (*bytes == "2") return size_t{2};
  return fail(Code::kInvalidArgument, fmt::format("region_bytes must be 1 or 2: {}", *bytes));
}

void append_region(uint64_t region, size_t bytes, std::string& out) {
  if (bytes == 2) out += static_cast<char>(region >> 8 & 0xff);
  out += static_cast<char>(region & 0xff);
}

void append_hash(uint64_t value, std::string& out) {
  const uint64_t hash = hash_u64(value);
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(hash >> shift & 0xff);
}

namespace {

class RegionExperimental final : public Vindex {
 public:
  RegionExperimental(std::string_view name, size_t bytes) : Vindex("region_experimental", name), bytes_(bytes) {}
  int cost() const override { return 1; }
  int max_columns() const override { return 2; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    const auto region = columns[0].to_u64();
    if (!region) {
      out.set_none();
      return {};
    }
    if (columns.size() == 1) {
      std::string prefix;
      append_region(*region, bytes_, prefix);
      out.set_key_range(prefix_range(prefix));
      return {};
    }
    const auto value = columns[1].to_u64_wrapping();
    if (!value) {
      out.set_none();
      return {};
    }
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes.clear();
    append_region(*region, bytes_, out.keyspace_id.bytes);
    append_hash(*value, out.keyspace_id.bytes);
    return {};
  }

 private:
  size_t bytes_;
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_region_experimental(std::string_view name, ParameterReader& parameters) {
  ASSIGN_OR_RETURN(const size_t bytes, region_bytes_parameter("region_experimental", parameters));
  return std::make_unique<RegionExperimental>(name, bytes);
}

}  // namespace vitrail::shard
