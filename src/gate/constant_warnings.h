#pragma once

#include <array>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mysql/types.h"
#include "sql/statement.h"

// A text that is compared with a column of numbers is read as a number once by each server that runs the statement, and
// each tells of a text that is none. One server tells of it once.
namespace vitrail::gate {

using WarningRow = std::array<std::string, 3>;  // Level, code, message, as SHOW WARNINGS has them.

// The texts that stand beside a column in one comparison and nowhere else. `parameters`: of the statement.
std::set<std::string> compared_texts(const sql::Statement& statement, std::span<const mysql::Value> parameters);

// Of the warnings of several servers: those about one of `texts` are kept once.
void unite_constant_warnings(const std::set<std::string>& texts, std::vector<WarningRow>& rows);

}  // namespace vitrail::gate
