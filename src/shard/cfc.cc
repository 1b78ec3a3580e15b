// Vindex `cfc`: the value's bytes are cut at fixed offsets and each piece is replaced by as many bytes of its hash, so
// that values which share leading pieces stay together and LIKE 'prefix%' needs only a range. Without a hash function
// the id is the value.

#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "shard/digest.h"
#include "shard/functions.h"

namespace vitrail::shard {

namespace {

enum class PieceHash : uint8_t { kNone, kMd5, kXxhash64 };

class Cfc final : public Vindex {
 public:
  Cfc(std::string_view name, PieceHash hash, std::vector<size_t> offsets)
      : Vindex("cfc", name), hash_(hash), offsets_(std::move(offsets)) {}
  int cost() const override { return 1; }
  bool is_combinable() const override { return false; }

  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    VindexValue::Scratch scratch;
    const std::string_view value = columns[0].to_bytes(scratch);
    out.kind = Destination::Kind::kKeyspaceId;
    out.keyspace_id.bytes.clear();
    if (hash_ == PieceHash::kNone) {
      out.keyspace_id.bytes = value;
      return {};
    }
    if (value.size() < offsets_.back()) {
      return fail(Code::kInvalidArgument, fmt::format("vindex {}: the value has {} bytes, its pieces need at least {}",
                                                      name(), value.size(), offsets_.back()));
    }
    RETURN_IF_ERROR(append_whole_pieces(value, out.keyspace_id.bytes));
    return append_piece(value.substr(offsets_.back()), out.keyspace_id.bytes);
  }

  std::optional<Destination> map_like(std::string_view pattern) const override {
    const std::string prefix = fixed_prefix(pattern);
    Destination out;
    std::string id;
    if (hash_ == PieceHash::kNone) {
      id = prefix;
    } else if (!append_whole_pieces(prefix, id)) {
      return std::nullopt;
    }
    if (id.empty()) {
      out.set_all_shards();
    } else {
      out.set_key_range(prefix_range(id));
    }
    return out;
  }

 private:
  // What precedes the first wildcard of a LIKE pattern, with escapes resolved. It ends before an escape that some read
  // as a control character and a server as the letter: a shorter prefix is right for both.
  static std::string fixed_prefix(std::string_view pattern) {
    std::string out;
    for (size_t i = 0; i < pattern.size(); ++i) {
      char c = pattern[i];
      if (c == '%' || c == '_') break;
      if (c == '\\' && i + 1 < pattern.size()) {
        c = pattern[++i];
        if (std::string_view("0bnrtZ").find(c) != std::string_view::npos) break;
      }
      out += c;
    }
    return out;
  }

  Status append_piece(std::string_view piece, std::string& out) const {
    if (piece.empty()) return {};
    const size_t at = out.size();
    if (hash_ == PieceHash::kMd5) {
      RETURN_IF_ERROR(append_md5(piece, out));
    } else {
      append_xxhash64(piece, out);
    }
    if (out.size() > at + piece.size()) out.resize(at + piece.size());
    return {};
  }

  // The pieces that end at an offset; the rest of the value is not among them.
  Status append_whole_pieces(std::string_view value, std::string& out) const {
    size_t from = 0;
    for (size_t offset : offsets_) {
      if (offset > value.size()) break;
      RETURN_IF_ERROR(append_piece(value.substr(from, offset - from), out));
      from = offset;
    }
    return {};
  }

  PieceHash hash_;
  std::vector<size_t> offsets_;
};

}  // namespace

Result<std::unique_ptr<Vindex>> make_cfc(std::string_view name, ParameterReader& parameters) {
  const std::string* hash = parameters.find("hash");
  const std::string* given = parameters.find("offsets");
  std::vector<size_t> offsets;
  if (given != nullptr) {
    const auto json = nlohmann::json::parse(*given, nullptr, false);
    bool valid = json.is_array() && !json.empty();
    if (valid) {
      for (const auto& item : json) {
        valid = item.is_number_unsigned() && item.get<uint64_t>() > (offsets.empty() ? 0 : offsets.back());
        if (!valid) break;
        offsets.push_back(item.get<uint64_t>());
      }
    }
    if (!valid) {
      return fail(
          Code::kInvalidArgument,
          fmt::format("invalid offsets {} to CFC vindex {}. expected sorted positive ints in brackets", *given, name));
    }
  }
  if (hash == nullptr) return std::make_unique<Cfc>(name, PieceHash::kNone, std::vector<size_t>());
  if (offsets.empty()) return fail(Code::kInvalidArgument, "CFC vindex requires offsets when hash is defined");
  if (*hash == "md5") return std::make_unique<Cfc>(name, PieceHash::kMd5, std::move(offsets));
  if (*hash == "xxhash64") return std::make_unique<Cfc>(name, PieceHash::kXxhash64, std::move(offsets));
  return fail(Code::kInvalidArgument,
              fmt::format("invalid hash {} to CFC vindex {}. expected md5 or xxhash64", *hash, name));
}

}  // namespace vitrail::shard
