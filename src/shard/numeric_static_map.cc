// Vindex `numeric_static_map`: a table from numbers to ids, in the vschema or in a file. Numbers outside the table go
// to the fallback vindex, or are their own id.

#include <charconv>
#include <unordered_map>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "shard/functions.h"
#include "shard/json_parameter.h"

namespace vitrail::shard {

namespace {

using Table = std::unordered_map<uint64_t, uint64_t>;

class NumericStaticMap final : public Vindex {
 public:
  NumericStaticMap(std::string_view name, Table table, std::shared_ptr<const Vindex> fallback)
      : Vindex("numeric_static_map", name), table_(std::move(table)), fallback_(std::move(fallback)) {}
  int cost() const override { return 1; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    const auto number = columns[0].to_u64();
    if (!number) {
      out.set_none();
      return {};
    }
    if (const auto found = table_.find(*number); found != table_.end()) {
      out.set_u64(found->second);
    } else if (fallback_) {
      return fallback_->map_into(columns, out);
    } else {
      out.set_u64(*number);
    }
    return {};
  }

 private:
  Table table_;
  std::shared_ptr<const Vindex> fallback_;
};

Result<Table> parse_table(std::string_view name, const std::string& text) {
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, fmt::format("vindex {}: the number map {}", name, why));
  };
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return refuse("is not a JSON object");
  Table table;
  for (const auto& [key, value] : json.items()) {
    uint64_t from = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), from);
    if (error != std::errc() || end != key.data() + key.size()) return refuse(fmt::format("has the key '{}'", key));
    if (!value.is_number_unsigned()) return refuse(fmt::format("has no number from 0 to 2^64-1 for key '{}'", key));
    table[from] = value.get<uint64_t>();
  }
  return table;
}

}  // namespace

Result<std::unique_ptr<Vindex>> make_numeric_static_map(std::string_view name, ParameterReader& parameters) {
  const std::string* path = parameters.find("json_path");
  const std::string* json = parameters.find("json");
  const std::string* fallback_type = parameters.find("fallback_type");
  if (path == nullptr && json == nullptr) {
    return fail(Code::kInvalidArgument,
                "NumericStaticMap: Could not find either `json_path` or `json` params in vschema");
  }
  if (path != nullptr && json != nullptr) {
    return fail(Code::kInvalidArgument, "NumericStaticMap: Found both `json` and `json_path` params in vschema");
  }
  std::string text;
  if (path != nullptr) {
    ASSIGN_OR_RETURN(text, read_parameter_file(*path));
  } else {
    text = *json;
  }
  ASSIGN_OR_RETURN(Table table, parse_table(name, text));
  std::shared_ptr<const Vindex> fallback;
  if (fallback_type != nullptr) {
    ASSIGN_OR_RETURN(fallback, create_vindex(*fallback_type, fmt::format("{}_fallback", name), {}));
    if (!fallback->is_unique() || fallback->min_columns() > 1) {
      return fail(Code::kInvalidArgument,
                  fmt::format("vindex {}: {} cannot be a fallback: it must be unique and take one column", name,
                              *fallback_type));
    }
  }
  return std::make_unique<NumericStaticMap>(name, std::move(table), std::move(fallback));
}

}  // namespace vitrail::shard
