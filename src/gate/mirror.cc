#include "gate/mirror.h"

#include <algorithm>

#include "base/log.h"
#include "gate/inner_session.h"
#include "gate/session.h"
#include "plan/plan.h"
#include "sql/tables.h"
#include "topo/tablet.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

float mirror_percent(const sql::Statement& statement, const sql::Effects& effects, const plan::Plan& plan,
                     const plan::PlanContext& context) {
  const auto* query = sql::statement_as<sql::QueryStatement>(&statement);
  if (query == nullptr || !plan.is_read || query->query->into != nullptr || !query->query->locks.empty()) return 0;
  const auto* select = sql::as<sql::Select>(query->query);
  if (select != nullptr && select->next_values != nullptr) return 0;
  if (effects.runs_unseen_code || effects.uses_user_locks || effects.leaves != sql::Left::kNothing ||
      effects.ends != sql::Left::kNothing) {
    return 0;
  }
  const auto type = topo::parse_tablet_type(context.tablet_type);
  if (!type.ok()) return 0;
  float least = 0;
  for (const auto& use : sql::collect_tables(statement)) {
    const auto routed =
        context.vschema->find_table(use.qualifier.empty() ? context.keyspace : use.qualifier, use.name, *type);
    if (!routed.ok()) continue;
    const float percent = context.vschema->mirror_percent(*routed->table, *type);
    if (percent > 0 && (least == 0 || percent < least)) least = percent;
  }
  return least;
}

bool is_mirrored(float percent, uint64_t random) {
  constexpr uint64_t kParts = 1'000'000;
  return static_cast<double>(random % kParts) < static_cast<double>(percent) * (kParts / 100);
}

void Mirror::offer(MirroredRead read) {
  if (running_ >= kAtOnce || home_.scope.stopping()) {
    home_.metrics.statistics.mirror_dropped.add();
    return;
  }
  ++running_;
  home_.scope.spawn(run(*this, std::move(read)));
}

net::Task<void> Mirror::run(Mirror& self, MirroredRead read) {
  auto& statistics = self.home_.metrics.statistics;
  Status done = co_await run_in(self.home_, self.next_id_.fetch_add(1), std::move(read));
  --self.running_;
  statistics.mirrored.add();
  if (done.ok()) co_return;
  statistics.mirror_errors.add();
  static base::LogLimit limit(std::chrono::seconds(10));
  if (limit.allow()) {  // Its text may have somebody's data in it.
    log_warning("a mirrored read failed where it was run again: {}, error {} ({} similar before)",
                base::code_name(done.error().code()), done.error().mysql_errno(), limit.suppressed());
  }
}

net::Task<Status> Mirror::run_in(GateLoop& home, uint32_t connection_id, MirroredRead read) {
  read.who.capabilities =
      InnerSession::kCapabilities | (read.who.capabilities & (mysql::kClientFoundRows | mysql::kClientIgnoreSpace));
  CO_ASSIGN_OR_RETURN(InnerSession inner, open_inner_session(home, std::move(read.who), connection_id));
  inner.session()->become_mirror();
  CO_RETURN_IF_ERROR(inner.session()->set_target(read.target));
  const auto body = [](net::MysqlClient& client, MirroredRead what, net::Wait wait) -> net::Task<Status> {
    if (!what.settings.empty()) {
      auto set = co_await client.query(std::move(what.settings), wait);
      if (!set.ok()) co_return std::move(set).error();
    }
    auto begun = co_await client.query_begin(std::move(what.text), wait);
    if (!begun.ok()) co_return std::move(begun).error();
    for (bool more = !begun->columns.empty(); more;) {
      CO_ASSIGN_OR_RETURN(more, co_await client.next_rows([](std::span<const mysql::Cell>) {}, wait));
    }
    co_return Status{};
  };
  Status done = co_await body(inner.client, std::move(read), net::Wait::within(kLongest, home.scope.token()));
  inner.client.close();
  co_return done;
}

}  // namespace vitrail::gate
