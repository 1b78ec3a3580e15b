#include "shard/lookup.h"

#include <algorithm>
#include <charconv>

#include <fmt/core.h>

#include "base/text.h"
#include "shard/digest.h"
#include "shard/hash.h"
#include "shard/unicode_weights.h"

namespace vitrail::shard {
namespace {

struct Type {
  std::string_view name;
  Lookup::Form form;
  bool unique;
};

constexpr Type kTypes[] = {
    {"consistent_lookup", Lookup::Form::kKeyspaceId, false},
    {"consistent_lookup_unique", Lookup::Form::kKeyspaceId, true},
    {"lookup", Lookup::Form::kKeyspaceId, false},
    {"lookup_cost", Lookup::Form::kKeyspaceId, false},  // Of planner tests only.
    {"lookup_hash", Lookup::Form::kHash, false},
    {"lookup_hash_unique", Lookup::Form::kHash, true},
    {"lookup_unicodeloosemd5_hash", Lookup::Form::kLooseHash, false},
    {"lookup_unicodeloosemd5_hash_unique", Lookup::Form::kLooseHash, true},
    {"lookup_unique", Lookup::Form::kKeyspaceId, true},
};

const Type* find_type(std::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &Type::name);
  return found == std::end(kTypes) ? nullptr : &*found;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Status read_flag(ParameterReader& parameters, std::string_view vindex, std::string_view name, bool& out) {
  const std::string* value = parameters.find(name);
  if (value == nullptr) return {};
  if (*value != "true" && *value != "false") {
    return fail(Code::kInvalidArgument,
                fmt::format("vindex {}: {} value must be 'true' or 'false': '{}'", vindex, name, *value));
  }
  out = *value == "true";
  return {};
}

Status read_lock_of(ParameterReader& parameters, std::string_view vindex, Lookup::ReadLock& out) {
  const std::string* value = parameters.find("read_lock");
  if (value == nullptr || value->empty() || *value == "exclusive") return {};
  if (*value == "shared") {
    out = Lookup::ReadLock::kShared;
  } else if (*value == "none") {
    out = Lookup::ReadLock::kNone;
  } else {
    return fail(
        Code::kInvalidArgument,
        fmt::format("vindex {}: invalid read_lock value {}: expected exclusive, shared or none", vindex, *value));
  }
  return {};
}

void read_names(ParameterReader& parameters, Lookup& out) {
  const auto text = [&](std::string_view name) {
    const std::string* value = parameters.find(name);
    std::string plain(value == nullptr ? std::string_view() : trimmed(*value));
    std::erase(plain, '`');
    if (plain.empty() && out.problem.empty()) out.problem = fmt::format("its parameter {} is missing", name);
    return plain;
  };
  out.table = text("table");
  if (const size_t dot = out.table.find('.'); dot != std::string::npos) {
    out.keyspace = out.table.substr(0, dot);
    out.table.erase(0, dot + 1);
  }
  out.from = base::split_list(text("from"));
  out.to = text("to");
}

}  // namespace

bool is_lookup_type(std::string_view type) { return find_type(type) != nullptr; }

Result<std::shared_ptr<const Lookup>> create_lookup(std::string_view type, std::string_view name,
                                                    const VindexParameters& parameters) {
  const Type* known = find_type(type);
  if (known == nullptr) {
    return fail(Code::kInvalidArgument, fmt::format("vindexType \"{}\" not found (vindex {})", type, name));
  }
  auto out = std::make_shared<Lookup>();
  out->name = name;
  out->type = type;
  out->form = known->form;
  out->unique = known->unique;
  out->cost = known->unique ? 10 : 20;
  ParameterReader reader(parameters);
  read_names(reader, *out);
  RETURN_IF_ERROR(read_flag(reader, name, "ignore_nulls", out->ignore_nulls));
  RETURN_IF_ERROR(read_flag(reader, name, "write_only", out->write_only));
  RETURN_IF_ERROR(read_flag(reader, name, "autocommit", out->autocommit));
  RETURN_IF_ERROR(read_flag(reader, name, "no_verify", out->no_verify));
  // Values are always looked up together, and rows written at once need no transaction: nothing is left to choose.
  bool always = false;
  RETURN_IF_ERROR(read_flag(reader, name, "batch_lookup", always));
  RETURN_IF_ERROR(read_flag(reader, name, "multi_shard_autocommit", always));
  RETURN_IF_ERROR(read_lock_of(reader, name, out->read_lock));
  if (const std::string* cost = reader.find("cost"); cost != nullptr) {
    const auto [end, error] = std::from_chars(cost->data(), cost->data() + cost->size(), out->cost);
    if (error != std::errc() || end != cost->data() + cost->size()) {
      return fail(Code::kInvalidArgument, fmt::format("vindex {}: cost is no number: '{}'", name, *cost));
    }
  }
  out->unknown_parameters = reader.unknown();
  return std::shared_ptr<const Lookup>(std::move(out));
}

Result<Vindex::ColumnValue> Lookup::stored(const KeyspaceId& id) const {
  if (form == Form::kKeyspaceId) return Vindex::ColumnValue(id.bytes);
  if (id.bytes.size() != 8) {
    return fail(Code::kInvalidArgument, fmt::format("vindex {} of type {}: keyspace id {} is not of 8 bytes, as those "
                                                    "of vindex hash are",
                                                    name, type, id.to_hex()));
  }
  uint64_t number = 0;
  for (const unsigned char c : id.bytes) number = number << 8 | c;
  return Vindex::ColumnValue(unhash_u64(number));
}

Result<KeyspaceId> Lookup::id_of(std::string_view stored) const {
  if (form == Form::kKeyspaceId) return KeyspaceId{std::string(stored)};
  ASSIGN_OR_RETURN(const auto value, VindexValue::integer_text(stored, !stored.starts_with('-')));
  const auto number = value.to_u64_wrapping();
  if (!number) return fail(Code::kInvalidArgument, fmt::format("vindex {}: {} is no number", name, stored));
  Destination destination;
  destination.set_u64(hash_u64(*number));
  return std::move(destination.keyspace_id);
}

Result<uint64_t> loose_number(std::string_view text) {
  std::string weights;
  RETURN_IF_ERROR(append_primary_weights(text, weights));
  std::string digest;
  RETURN_IF_ERROR(append_md5(weights, digest));
  uint64_t number = 0;
  for (size_t i = 0; i < 8; ++i) number = number << 8 | static_cast<unsigned char>(digest[i]);
  return number;
}

}  // namespace vitrail::shard
