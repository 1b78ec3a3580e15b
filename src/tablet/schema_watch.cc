#include "tablet/schema_watch.h"

#include "base/log.h"
#include "mysqld/schema_sql.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

std::vector<std::string> changed_tables(const SchemaState& before, const SchemaState& after) {
  std::vector<std::string> out;
  auto old = before.begin();
  auto now = after.begin();
  while (old != before.end() || now != after.end()) {
    if (now == after.end() || (old != before.end() && old->first < now->first)) {
      out.push_back((old++)->first);
    } else if (old == before.end() || now->first < old->first) {
      out.push_back((now++)->first);
    } else {
      if (old->second != now->second) out.push_back(now->first);
      ++old;
      ++now;
    }
  }
  return out;
}

SchemaWatch::SchemaWatch(LocalServer& server, std::string database, base::Duration interval, OnChange on_change)
    : server_(server), database_(std::move(database)), interval_(interval), on_change_(std::move(on_change)) {}

net::Task<Status> SchemaWatch::look(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(
      const auto columns,
      co_await server_.query("select table_name, column_name, column_type, coalesce(collation_name, ''), extra, "
                             "is_nullable, column_key from information_schema.columns where table_schema = " +
                                 mysqld::quote_string(database_) + " order by table_name, ordinal_position",
                             wait, "", 10'000'000));
  SchemaState next;
  for (size_t row = 0; row < columns.rows.size(); ++row) {
    std::string& text = next[std::string(columns.text(row, 0))];
    for (size_t i = 1; i < 7; ++i) text.append(columns.text(row, i)) += '\0';
  }
  auto changed = known_ ? changed_tables(state_, next) : std::vector<std::string>();
  known_ = true;
  state_ = std::move(next);
  if (!changed.empty()) on_change_(std::move(changed));
  co_return Status{};
}

net::Task<bool> SchemaWatch::others_changed(net::CancelToken cancel) {
  const auto counts = co_await server_.query(
      "show global status where variable_name in ('Com_alter_table', 'Com_create_db', 'Com_create_index', "
      "'Com_create_table', 'Com_create_view', 'Com_drop_db', 'Com_drop_index', 'Com_drop_table', 'Com_drop_view', "
      "'Com_rename_table')",
      net::Wait::within(10s, cancel));
  if (!counts.ok()) co_return false;  // The next look tells what is the matter.
  std::string text;
  for (size_t row = 0; row < counts->rows.size(); ++row) text.append(counts->text(row, 1)) += ' ';
  const std::string before = std::exchange(ddl_counts_, text);
  co_return !before.empty() && before != text;
}

net::Task<void> SchemaWatch::run(net::CancelToken cancel) {
  while (!cancel.cancelled()) {
    poked_ = false;
    (void)co_await others_changed(cancel);  // Of what runs from now on the counters will tell.
    const Status looked = co_await look(net::Wait::within(30s, cancel));
    if (cancel.cancelled()) co_return;
    if (!looked.ok()) log_warning("looking at the tables: {}", looked.error().message());
    const base::TimePoint next = base::system_clock().now() + (looked.ok() ? interval_ : base::Duration(0s));
    do {
      if (!poked_) (void)co_await woken_.wait(net::Wait::within(1s, cancel));
      if (poked_ || cancel.cancelled()) break;
    } while (!co_await others_changed(cancel) && base::system_clock().now() < next);
  }
}

}  // namespace vitrail::tablet
