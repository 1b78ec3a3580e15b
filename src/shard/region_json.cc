// Vindex `region_json`: one or two bytes of a country's region number, from a map in a file, then the hash of the id.
// The columns are (id, country).

#include <map>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "shard/functions.h"
#include "shard/json_parameter.h"
#include "shard/region.h"

namespace vitrail::shard {

namespace {

using RegionMap = std::map<std::string, uint64_t, std::less<>>;

class RegionJson final : public Vindex {
 public:
  RegionJson(std::string_view name, size_t bytes, RegionMap regions)
      : Vindex("region_json", name), bytes_(bytes), regions_(std::move(regions)) {}
  int cost() const override { return 1; }
  int max_columns() const override { return 2; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    out.set_none();
    if (columns.size() < 2) return {};  // The prefix comes from the second column.
    const auto value = columns[0].to_u64_wrapping();
    VindexValue::Scratch scratch;
    const auto region = regions_.find(columns[1].to_bytes(scratch));
    if (!value || region == regions_.end()) return {};
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes.clear();
    append_region(region->second, bytes_, out.keyspace_id.bytes);
    append_hash(*value, out.keyspace_id.bytes);
    return {};
  }

 private:
  size_t bytes_;
  RegionMap regions_;
};

Result<RegionMap> parse_regions(std::string_view name, const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object())
    return fail(Code::kInvalidArgument, fmt::format("vindex {}: region_map is not a JSON object", name));
  RegionMap regions;
  for (const auto& [country, region] : json.items()) {
    if (!region.is_number_unsigned()) {
      return fail(Code::kInvalidArgument, fmt::format("vindex {}: region of '{}' is not a number", name, country));
    }
    regions[country] = region.get<uint64_t>();
  }
  return regions;
}

}  // namespace

Result<std::unique_ptr<Vindex>> make_region_json(std::string_view name, ParameterReader& parameters) {
  const std::string* path = parameters.find("region_map");
  const std::string* json = parameters.find("region_map_json");
  std::string text;
  if (json != nullptr) {
    text = *json;
  } else if (path != nullptr) {
    ASSIGN_OR_RETURN(text, read_parameter_file(*path));
  } else {
    return fail(Code::kInvalidArgument, "region_json missing region_map param");
  }
  ASSIGN_OR_RETURN(const size_t bytes, region_bytes_parameter("region_json", parameters));
  ASSIGN_OR_RETURN(RegionMap regions, parse_regions(name, text));
  return std::make_unique<RegionJson>(name, bytes, std::move(regions));
}

}  // namespace vitrail::shard
