#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::gate {

// The system variables that a client has set for its session, as one SET statement for whatever connection serves it
// next. Values are SQL literals (or DEFAULT), never expressions: what a variable is does not depend on when or where
// the statement runs. Names are in an order in which a later one does not undo an earlier one: alphabetically, in which
// character_set_connection comes before collation_connection.
class SessionSettings {
 public:
  // Who a variable means something to.
  enum class Kind : uint8_t {
    kServer,   // The MySQL server: sent on, and the server has the last word on name and value.
    kGate,     // The gate, which does what it asks for: see session_set.cc.
    kStored,   // Nobody here (a promise that is kept without doing anything): remembered, and told when asked.
    kRefused,  // It would reach beyond the session, or cannot be kept on a connection that others use too.
  };
  static Kind kind_of(std::string_view name);
  // The variables that set and hold the same value: transaction_isolation and tx_isolation. Lower case.
  static std::string canonical(std::string_view name);

  // `literal`: SQL text of the value. A variable of kServer.
  void set(std::string name, std::string literal);
  void unset(const std::string& name) { values_.erase(name); }
  // SET NAMES: `charset` and `collation` are checked names; an empty collation is the charset's default.
  void set_names(std::string_view charset, std::string_view collation);
  void set_names_default();

  bool empty() const { return values_.empty(); }
  void clear() { values_.clear(); }
  // "set @@session.a = 1, @@session.b = 'x'"; "" when nothing is set.
  std::string text() const;
  // Only these variables, for connections that have all others.
  std::string text_of_changes(const SessionSettings& before) const;
  const std::map<std::string, std::string>& values() const { return values_; }
  bool operator==(const SessionSettings&) const = default;

 private:
  std::map<std::string, std::string> values_;  // Name -> literal.
};

// The truth value of what SET autocommit (or another switch) was given: "1", "ON", "off", "'on'" ... nullopt: none.
std::optional<bool> switch_value(std::string_view literal);

// kUnimplemented names the mode that a statement's reader here does not follow; modes as the server names them
// ("STRICT_TRANS_TABLES,ANSI_QUOTES").
Status check_sql_mode(std::string_view modes);

}  // namespace vitrail::gate
