#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// The schema that column definitions say their columns are from, changed in framed bytes: clients know keyspaces, not
// the databases that servers have for them.
namespace vitrail::mysql {

struct SchemaRename {
  std::string from;
  std::string to;
  bool needed() const { return from != to && !from.empty(); }
};

struct RenamedResult {
  bool complete = true;                // False: come again with more bytes.
  size_t size = 0;                     // Of the bytes that `changed` takes the place of.
  std::optional<std::string> changed;  // nullopt: nothing is to be changed.
};

// `framed` begins with the first message of an answer (or of a further result of it). One that is no result set needs
// no change, nor does one that is broken: who reads it will tell.
RenamedResult rename_result(std::string_view framed, const SchemaRename& rename);

// Framed definitions and what may stand between them, as in the answer to COM_STMT_PREPARE.
std::string rename_definitions(std::string framed, const SchemaRename& rename);

}  // namespace vitrail::mysql
