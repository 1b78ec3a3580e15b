// Vindex `multicol`: the first bytes of each column's own id, concatenated to at most eight. A prefix of the columns
// gives the range of the ids with that prefix.

#include <charconv>
#include <vector>

#include <fmt/core.h>

#include "shard/functions.h"

namespace vitrail::shard {

namespace {

constexpr size_t kMaxColumns = 8;
constexpr size_t kIdBytes = 8;

struct Part {
  std::shared_ptr<const Vindex> vindex;
  size_t bytes = 0;
};

class Multicol final : public Vindex {
 public:
  Multicol(std::string_view name, std::vector<Part> parts) : Vindex("multicol", name), parts_(std::move(parts)) {
    for (const Part& part : parts_) cost_ += part.vindex->cost();
  }
  int cost() const override { return cost_; }
  int max_columns() const override { return static_cast<int>(parts_.size()); }
  bool is_combinable() const override { return false; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    std::string id;
    for (size_t i = 0; i < columns.size(); ++i) {
      RETURN_IF_ERROR(parts_[i].vindex->map_into(columns.subspan(i, 1), out));
      if (out.kind != Destination::Kind::kKeyspaceId) {
        out.set_none();
        return {};
      }
      id.append(out.keyspace_id.bytes, 0, parts_[i].bytes);
    }
    if (columns.size() == parts_.size()) {
      out.kind = Destination::Kind::kKeyspaceId;
      out.keyspace_id.bytes = std::move(id);
    } else if (id.empty()) {
      out.set_all_shards();
    } else {
      out.set_key_range(prefix_range(id));
    }
    return {};
  }

 private:
  std::vector<Part> parts_;
  int cost_ = 0;
};

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    out.push_back(item);
    if (comma == std::string_view::npos) return out;
    list.remove_prefix(comma + 1);
  }
}

std::optional<size_t> parse_small(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Columns without a number of their own share what the others leave, the earlier ones getting the larger parts.
Status assign_bytes(const std::string* given, std::vector<Part>& parts) {
  size_t left = kIdBytes;
  size_t open = parts.size();
  if (given != nullptr) {
    const auto items = split(*given);
    if (items.size() > parts.size()) {
      return fail(Code::kInvalidArgument,
                  "number of column bytes provided are more than column count in the parameter 'column_bytes'");
    }
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].empty()) continue;
      const auto bytes = parse_small(items[i]);
      if (!bytes || *bytes == 0 || *bytes > kIdBytes) {
        return fail(Code::kInvalidArgument,
                    fmt::format("invalid number of bytes '{}' in the parameter 'column_bytes'", items[i]));
      }
      if (*bytes > left) {
        return fail(Code::kInvalidArgument,
                    fmt::format("column bytes count exceeds the keyspace id length of {} bytes (total bytes) in the "
                                "parameter 'column_bytes'",
                                kIdBytes));
      }
      parts[i].bytes = *bytes;
      left -= *bytes;
      --open;
    }
  }
  if (open > left) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("{} columns are left without a byte of the keyspace id in the parameter 'column_bytes'", open));
  }
  for (Part& part : parts) {
    if (part.bytes != 0) continue;
    part.bytes = (left + open - 1) / open;
    left -= part.bytes;
    --open;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Vindex>> make_multicol(std::string_view name, ParameterReader& parameters) {
  parameters.accept_all();
  const std::string* count = parameters.find("column_count");
  if (count == nullptr) {
    return fail(Code::kInvalidArgument, "number of columns not provided in the parameter 'column_count'");
  }
  const auto columns = parse_small(*count);
  if (!columns || *columns < 1 || *columns > kMaxColumns) {
    return fail(Code::kInvalidArgument, "number of columns should be between 1 and 8 in the parameter 'column_count'");
  }
  std::vector<Part> parts(*columns);
  RETURN_IF_ERROR(assign_bytes(parameters.find("column_bytes"), parts));
  const std::string* types = parameters.find("column_vindex");
  const auto given = types == nullptr ? std::vector<std::string_view>() : split(*types);
  if (given.size() > parts.size()) {
    return fail(Code::kInvalidArgument,
                "number of vindex function provided are more than column count in the parameter 'column_vindex'");
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string_view type = i < given.size() && !given[i].empty() ? given[i] : "hash";
    if (type == "multicol") return fail(Code::kInvalidArgument, "a multicol vindex cannot be a part of another");
    ASSIGN_OR_RETURN(parts[i].vindex, create_vindex(type, type, {}));
    if (!parts[i].vindex->is_combinable()) {
      return fail(Code::kInvalidArgument,
                  fmt::format("multicol vindex supports vindexes that exports hashing function, are unique and are "
                              "non-lookup vindex, passed vindex '{}' is invalid",
                              type));
    }
  }
  return std::make_unique<Multicol>(name, std::move(parts));
}

}  // namespace vitrail::shard
