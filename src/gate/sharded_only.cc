#include "gate/sharded_only.h"

#include <fmt/core.h>

namespace vitrail::gate {

std::optional<std::string> sharded_only_warning(sql::StatementKind kind, const plan::Plan& plan) {
  if (plan.route.kind != plan::Route::Kind::kAnyShard) return std::nullopt;
  using enum sql::StatementKind;
  switch (kind) {
    case kCall:
    case kLoad:
    case kLockTables:
    case kFlush:
    case kOther: return fmt::format("'{}' not supported in sharded mode", sql::statement_kind_name(kind));
    default: return std::nullopt;
  }
}

}  // namespace vitrail::gate
