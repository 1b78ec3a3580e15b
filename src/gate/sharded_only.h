#pragma once

#include <optional>
#include <string>

#include "plan/plan.h"
#include "sql/statement_kind.h"

namespace vitrail::gate {

// With --warn-sharded-only: what SHOW WARNINGS says behind a statement that an unsharded keyspace has answered and that
// a sharded one refuses, whatever its tables are; nullopt for all others.
std::optional<std::string> sharded_only_warning(sql::StatementKind kind, const plan::Plan& plan);
inline constexpr int kShardedOnlyCode = 1235;  // ER_NOT_SUPPORTED_YET

}  // namespace vitrail::gate
