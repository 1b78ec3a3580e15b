#include "mysql/session_track.h"

#include "mysql/messages.h"

namespace vitrail::mysql {

bool tells_of_state(std::string_view payload) {
  ByteReader reader(payload);
  reader.skip(1);
  reader.lenenc_int();
  reader.lenenc_int();
  reader.skip(4);
  reader.lenenc_string();
  ByteReader changes(reader.lenenc_string());
  if (!reader.ok() || changes.at_end()) return true;
  while (!changes.at_end()) {
    const auto kind = static_cast<SessionChange::Kind>(changes.u8());
    changes.lenenc_string();
    if (!changes.ok()) return true;
    if (kind != SessionChange::Kind::kGtids && kind != SessionChange::Kind::kTransactionCharacteristics &&
        kind != SessionChange::Kind::kTransactionState) {
      return true;
    }
  }
  return false;
}

}  // namespace vitrail::mysql
