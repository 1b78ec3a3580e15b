#include "tablet/shared_reads.h"

#include <algorithm>

#include "base/text.h"
#include "sql/function_traits.h"
#include "sql/walk.h"

namespace vitrail::tablet {
namespace {

constexpr size_t kSeenMax = 1000;

class Judge : public sql::Walker {
 public:
  bool shareable = true;

 protected:
  bool enter(const sql::Query& query) override {
    if (!query.locks.empty() || query.into != nullptr) shareable = false;
    if (const auto* select = sql::as<sql::Select>(&query); select != nullptr) {
      if (select->next_values != nullptr || select->calc_found_rows) shareable = false;
    }
    return shareable;
  }
  bool enter(const sql::TableRef& table) override {
    // Another schema may be one of the server's own, about itself and its sessions.
    if (const auto* source = sql::as<sql::TableSource>(&table); source != nullptr && !source->name.qualifier.empty()) {
      shareable = false;
    }
    return shareable;
  }
  bool enter(const sql::Expr& expr) override {
    switch (expr.kind) {
      case sql::ExprKind::kUserVariable:
      case sql::ExprKind::kSystemVariable:
      case sql::ExprKind::kBindVariable:
      case sql::ExprKind::kParameter:
      case sql::ExprKind::kNextValue: shareable = false; break;
      case sql::ExprKind::kFunctionCall: {
        const auto& call = static_cast<const sql::FunctionCall&>(expr);
        constexpr uint8_t kPlain = sql::function::kOfArguments | sql::function::kAggregate;
        const bool plain = call.syntax != sql::FunctionSyntax::kNoParens && call.schema.text.empty() &&
                           (call.syntax != sql::FunctionSyntax::kCall ||
                            (sql::function_traits(base::to_lower(call.name.text)) & kPlain) != 0);
        if (!plain) shareable = false;
        break;
      }
      default: break;
    }
    return shareable;
  }
};

}  // namespace

bool is_shareable(const sql::Statement& statement) {
  if (sql::statement_as<sql::QueryStatement>(&statement) == nullptr) return false;
  Judge judge;
  judge.walk(statement);
  return judge.shareable;
}

std::shared_ptr<SharedRead> SharedReads::join(const std::string& key) {
  const auto found = reads_.find(key);
  if (found == reads_.end()) return nullptr;
  if (settings_.waiters_max > 0 && found->second->followers >= settings_.waiters_max) return nullptr;
  ++found->second->followers;
  return found->second;
}

SharedReads::Lead SharedReads::lead(std::string key) {
  const auto [place, made] = reads_.try_emplace(key, nullptr);
  if (!made) return {};
  place->second = std::make_shared<SharedRead>();
  return {this, std::move(key), place->second};
}

void SharedReads::note(const std::string& query) {
  shared_.add();
  const std::scoped_lock lock(mutex_);
  if (seen_.size() >= kSeenMax && !seen_.contains(query)) {
    seen_.erase(std::ranges::min_element(seen_, {}, &std::pair<const std::string, uint64_t>::second));
  }
  ++seen_[query];
}

std::vector<std::pair<std::string, uint64_t>> SharedReads::seen() const {
  const std::scoped_lock lock(mutex_);
  return {seen_.begin(), seen_.end()};
}

}  // namespace vitrail::tablet
