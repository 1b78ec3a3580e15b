#pragma once

#include <cstdint>
#include <string_view>

#include "sql/statement.h"

namespace vitrail::sql {

// What a statement may leave behind in the connection that ran it, and that the next user of the connection would meet.
// Servers tell most of it by session tracking; this is what they do not tell (MariaDB 10.11 and MySQL 8: user locks,
// handlers, FLUSH ... WITH READ LOCK, assignments inside a SELECT), and what nobody can know from the text.
enum class Left : uint8_t {
  kNothing = 0,
  kUserVariable = 1,
  kUserLock = 2,        // GET_LOCK()
  kTableLock = 4,       // LOCK TABLES, FLUSH TABLES ... WITH READ LOCK or FOR EXPORT
  kTemporaryTable = 8,  // CREATE TEMPORARY ...
  kTextStatement = 16,  // PREPARE
  kHandler = 32,        // HANDLER ... OPEN
  kAnything = 64,       // Code that the text does not show ran: a procedure, a stored function, a prepared text.
  kTold = 128,          // For the user of this enum: the server told of a change by itself.
};
constexpr Left operator|(Left a, Left b) {
  return static_cast<Left>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
constexpr Left operator&(Left a, Left b) {
  return static_cast<Left>(static_cast<uint8_t>(a) & static_cast<uint8_t>(b));
}
constexpr Left operator~(Left a) { return static_cast<Left>(~static_cast<uint8_t>(a)); }
constexpr Left& operator|=(Left& a, Left b) { return a = a | b; }
constexpr Left& operator&=(Left& a, Left b) { return a = a & b; }

struct Effects {
  Left leaves = Left::kNothing;
  Left ends = Left::kNothing;  // UNLOCK TABLES ends kTableLock, RELEASE_ALL_LOCKS() kUserLock.
  // It may read and change tables that its text does not name.
  bool runs_unseen_code = false;
  // GET_LOCK() and its kin: all sessions have to ask the same server.
  bool uses_user_locks = false;
};

Effects effects_of(const Statement& statement);
// Of a text that was not understood.
constexpr Effects unknown_effects() { return {Left::kAnything, Left::kNothing, true, true}; }

// Whether MySQL or MariaDB bring a function of this name along (any case). Others are stored or loaded functions.
bool is_builtin_function(std::string_view name);

}  // namespace vitrail::sql
