#include "shard/keyspace_id.h"

#include "base/hex.h"

namespace vitrail::shard {

std::string_view normalize(std::string_view position) {
  while (!position.empty() && position.back() == '\0') position.remove_suffix(1);
  return position;
}

std::strong_ordering compare(std::string_view a, std::string_view b) {
  return normalize(a).compare(normalize(b)) <=> 0;  // char_traits<char> compares as unsigned bytes.
}

KeyspaceId KeyspaceId::from_u64(uint64_t value) {
  KeyspaceId id;
  id.bytes.resize(8);
  for (int i = 7; i >= 0; --i, value >>= 8) id.bytes[static_cast<size_t>(i)] = static_cast<char>(value & 0xff);
  return id;
}

Result<KeyspaceId> KeyspaceId::from_hex(std::string_view hex) {
  ASSIGN_OR_RETURN(std::string bytes, base::hex_decode(hex));
  return KeyspaceId{std::move(bytes)};
}

std::string KeyspaceId::to_hex() const { return base::hex_encode(bytes); }

}  // namespace vitrail::shard
