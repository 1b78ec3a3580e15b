#include "shard/vindex.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>

#include <fmt/core.h>

#include "shard/functions.h"

namespace vitrail::shard {

namespace {

struct Registry {
  std::shared_mutex mutex;
  std::map<std::string, VindexFactory, std::less<>> factories = {
      {"binary", make_binary},
      {"binary_md5", make_binary_md5},
      {"cfc", make_cfc},
      {"hash", make_hash},
      {"multicol", make_multicol},
      {"null", make_null},
      {"numeric", make_numeric},
      {"numeric_static_map", make_numeric_static_map},
      {"region_experimental", make_region_experimental},
      {"region_json", make_region_json},
      {"reverse_bits", make_reverse_bits},
      {"unicode_loose_md5", make_unicode_loose_md5},
      {"unicode_loose_xxhash", make_unicode_loose_xxhash},
      {"xxhash", make_xxhash},
  };
};

Registry& registry() {
  static Registry& instance = *new Registry;  // Never destroyed: threads may outlive static destruction.
  return instance;
}

}  // namespace

void Destination::set_u64(uint64_t id) {
  kind = Kind::kKeyspaceId;
  keyspace_id.bytes.resize(8);
  for (size_t i = 8; i-- > 0; id >>= 8) keyspace_id.bytes[i] = static_cast<char>(id & 0xff);
}

std::string Destination::to_string() const {
  switch (kind) {
    case Kind::kNone: return "none";
    case Kind::kKeyspaceId: return keyspace_id.to_hex();
    case Kind::kKeyRange: return key_range.to_string();
    case Kind::kAllShards: return "all";
  }
  return "";
}

KeyRange prefix_range(std::string_view prefix) {
  std::string end(prefix);
  for (size_t i = end.size(); i-- > 0;) {
    end[i] = static_cast<char>(static_cast<unsigned char>(end[i]) + 1);
    if (end[i] != '\0') return KeyRange(std::string(prefix), std::move(end));
  }
  return KeyRange(std::string(prefix), "");  // All ff, or nothing.
}

Result<Destination> Vindex::map(std::span<const VindexValue> columns) const {
  Destination out;
  RETURN_IF_ERROR(map_into(columns, out));
  return out;
}

Result<bool> Vindex::verify(std::span<const VindexValue> columns, const KeyspaceId& id) const {
  ASSIGN_OR_RETURN(const Destination destination, map(columns));
  return destination.kind == Destination::Kind::kKeyspaceId && destination.keyspace_id == id;
}

Result<Vindex::ColumnValue> Vindex::reverse_map(const KeyspaceId&) const {
  return fail(Code::kUnimplemented, fmt::format("vindex {} of type {} cannot be reversed", name_, type_));
}

std::optional<Vindex::IdInterval> Vindex::map_between(const VindexValue&, const VindexValue&) const {
  return std::nullopt;
}

std::optional<Destination> Vindex::map_like(std::string_view) const { return std::nullopt; }

Status Vindex::check_column_count(size_t given) const {
  if (given >= static_cast<size_t>(min_columns()) && given <= static_cast<size_t>(max_columns())) return {};
  const std::string wanted = min_columns() == max_columns() ? fmt::format("{}", max_columns())
                                                            : fmt::format("{} to {}", min_columns(), max_columns());
  return fail(Code::kInvalidArgument,
              fmt::format("vindex {} of type {} takes {} columns, not {}", name_, type_, wanted, given));
}

Result<uint64_t> Vindex::id_as_u64(const KeyspaceId& id) const {
  if (id.bytes.size() != 8) {
    return fail(Code::kInvalidArgument, fmt::format("vindex {}: keyspace id {} is not of 8 bytes", name_, id.to_hex()));
  }
  uint64_t number = 0;
  for (unsigned char c : id.bytes) number = number << 8 | c;
  return number;
}

const std::string* ParameterReader::find(std::string_view name) {
  known_.emplace_back(name);
  const auto found = parameters_.find(std::string(name));
  return found == parameters_.end() ? nullptr : &found->second;
}

std::vector<std::string> ParameterReader::unknown() const {
  std::vector<std::string> out;
  if (accept_all_) return out;
  for (const auto& [name, value] : parameters_) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) out.push_back(name);
  }
  return out;
}

Result<std::shared_ptr<const Vindex>> create_vindex(std::string_view type, std::string_view name,
                                                    const VindexParameters& parameters) {
  VindexFactory factory;
  {
    std::shared_lock lock(registry().mutex);
    const auto found = registry().factories.find(type);
    if (found != registry().factories.end()) factory = found->second;
  }
  if (!factory) return fail(Code::kInvalidArgument, fmt::format("vindexType \"{}\" not found (vindex {})", type, name));
  ParameterReader reader(parameters);
  auto vindex = factory(name, reader);
  if (!vindex) return std::move(vindex).error();
  (*vindex)->unknown_parameters_ = reader.unknown();
  return std::shared_ptr<const Vindex>(std::move(*vindex));
}

void register_vindex_type(std::string_view type, VindexFactory factory) {
  std::unique_lock lock(registry().mutex);
  registry().factories.insert_or_assign(std::string(type), std::move(factory));
}

std::vector<std::string> vindex_types() {
  std::shared_lock lock(registry().mutex);
  std::vector<std::string> out;
  for (const auto& [type, factory] : registry().factories) out.push_back(type);
  return out;
}

}  // namespace vitrail::shard
