#include "tablet/demotion_record.h"

#include <fmt/core.h>

#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "tablet/unlogged.h"

namespace vitrail::tablet {

net::Task<Status> write_demotion(LocalServer& server, std::string alias, int64_t term_start_ns, net::Wait wait) {
  Status written = co_await run_unlogged(
      server,
      {"CREATE DATABASE IF NOT EXISTS _vt DEFAULT CHARACTER SET utf8mb4",
       "CREATE TABLE IF NOT EXISTS _vt.tablet_demotion (tablet_alias VARBINARY(300) NOT NULL PRIMARY KEY, "
       "term_start_ns BIGINT UNSIGNED NOT NULL, time_demoted TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) "
       "ENGINE = InnoDB",
       fmt::format("REPLACE INTO _vt.tablet_demotion (tablet_alias, term_start_ns) VALUES ({}, {})",
                   mysqld::quote_string(alias), term_start_ns)},
      std::move(wait));
  if (!written.ok()) co_return std::move(written).error().with_context("write the demotion down in _vt");
  co_return Status{};
}

net::Task<Status> clear_demotion(LocalServer& server, std::string alias, net::Wait wait) {
  Status cleared = co_await run_unlogged(
      server, {fmt::format("DELETE FROM _vt.tablet_demotion WHERE tablet_alias = {}", mysqld::quote_string(alias))},
      std::move(wait));
  if (!cleared.ok()) {
    if (is_missing_table(cleared.error())) co_return Status{};
    co_return std::move(cleared).error().with_context("take the demotion out of _vt");
  }
  co_return Status{};
}

net::Task<Result<std::optional<int64_t>>> read_demotion(LocalServer& server, std::string alias, net::Wait wait) {
  auto rows = co_await server.query(
      "SELECT term_start_ns FROM _vt.tablet_demotion WHERE tablet_alias = " + mysqld::quote_string(alias),
      std::move(wait));
  if (!rows.ok()) {
    if (is_missing_table(rows.error())) co_return std::optional<int64_t>{};
    co_return std::move(rows).error().with_context("look in _vt whether this tablet was demoted");
  }
  if (rows->rows.empty()) co_return std::optional<int64_t>{};
  const auto term = mysqld::to_int(rows->text(0, 0));
  if (!term) co_return fail(Code::kInternal, "the term in _vt.tablet_demotion is no number");
  co_return std::optional<int64_t>(*term);
}

}  // namespace vitrail::tablet
