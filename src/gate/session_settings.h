#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sql/modes.h"

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
  void unset(const std::string& name) {
    values_.erase(name);
    if (name == "sql_mode") reading_ = {};
  }
  // SET NAMES: `charset` and `collation` are checked names; an empty collation is the charset's default.
  void set_names(std::string_view charset, std::string_view collation);
  void set_names_default();

  bool empty() const { return values_.empty(); }
  void clear() {
    values_.clear();
    reading_ = {};
  }
  // How the client's texts are to be read. No server is told of it: see sql/modes.h.
  const sql::ReadingModes& reading() const { return reading_; }
  // "set @@session.a = 1, @@session.b = 'x'"; "" when nothing is set.
  std::string text() const;
  // Only these variables, for connections that have all others.
  std::string text_of_changes(const SessionSettings& before) const;
  // Of these alone and those that differ: for connections in which code may have set others.
  std::string text_of(std::set<std::string> names, const SessionSettings& before) const;
  // Those that were set to a number anew, but for switches: servers bring a number into its bounds, and warn.
  std::vector<std::string> new_numbers(const SessionSettings& before) const;
  const std::map<std::string, std::string>& values() const { return values_; }
  bool operator==(const SessionSettings&) const = default;

 private:
  // As a server is told it.
  std::string assignment(const std::string& name, const std::string& literal) const;

  std::map<std::string, std::string> values_;  // Name -> literal.
  sql::ReadingModes reading_;                  // Of sql_mode's.
};

// The truth value of what SET autocommit (or another switch) was given: "1", "ON", "off", "'on'" ... nullopt: none.
// completion_type, as it is kept: what COMMIT and ROLLBACK do when they do not say it themselves.
inline constexpr const char* kChainAtEnd = "'CHAIN'";
inline constexpr const char* kReleaseAtEnd = "'RELEASE'";

std::optional<bool> switch_value(std::string_view literal);

// kUnimplemented names the mode of a server by which its texts would be read otherwise than here; modes as the server
// names them ("STRICT_TRANS_TABLES,ANSI_QUOTES").
Status check_sql_mode(std::string_view modes);

}  // namespace vitrail::gate
