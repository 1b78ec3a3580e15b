#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "mysql/types.h"

namespace vitrail::gate {

// The error about a condition's number. To servers it is no error: the statement leaves it as one condition more.
inline constexpr uint16_t kNoSuchCondition = 1758;

// What GET DIAGNOSTICS may be asked about: the warnings and errors of a session's last statement.
struct Diagnostics {
  std::span<const std::array<std::string, 3>> conditions;  // Level, code, message: as SHOW WARNINGS tells them.
  int64_t row_count = 0;
  std::function<mysql::Value(const std::string& name)> variable;  // A user variable's, which may tell the number.
};

// The name of a user variable, in lower case, by its token: @a, @`a b`, @'a'.
std::string user_variable_name(std::string_view token);

// GET [CURRENT] DIAGNOSTICS @a = NUMBER, ... or CONDITION n @a = MESSAGE_TEXT, ...: the variables (in lower case) and
// their new values. nullopt: the text is no GET DIAGNOSTICS at all.
std::optional<Result<std::vector<std::pair<std::string, mysql::Value>>>> get_diagnostics(
    std::string_view text, const Diagnostics& diagnostics);

}  // namespace vitrail::gate
