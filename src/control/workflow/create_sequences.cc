// Sequences in the place of AUTO_INCREMENT, for tables that come to several shards.
#include <fmt/core.h>

#include <set>

#include "control/workflow/cleanup.h"
#include "control/workflow/create.h"
#include "control/workflow/moved_tables.h"
#include "mysqld/rows.h"
#include "topo/keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "topo/workflow_fence.h"

namespace vitrail::control {
namespace {

constexpr char kStep[] = "create_sequences";

net::Task<Result<::topodata::Tablet>> primary_of_only_shard(TabletClient& tablets, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_serving_shards(tablets.topology(), keyspace));
  if (shards.size() != 1) {
    co_return fail(Code::kInvalidArgument,
                   fmt::format("--global-keyspace {} has {} serving shards: sequences are in a keyspace of one shard",
                               keyspace, shards.size()));
  }
  co_return co_await tablets.primary_of(keyspace, shards.front().name);
}

}  // namespace

net::Task<Status> check_new_sequences(TabletClient& tablets, std::string keyspace,
                                      std::map<std::string, std::string> numbered) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await primary_of_only_shard(tablets, keyspace));
  auto stored = co_await topo::get_vschema(tablets.topology(), keyspace);
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  if (stored.ok() && stored->record.sharded()) {
    co_return fail(Code::kInvalidArgument, fmt::format("--global-keyspace {} is sharded", keyspace));
  }
  CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets, tablet));
  const std::map<std::string, bool> tables(present.begin(), present.end());
  for (const auto& [table, column] : numbered) {
    const std::string name = sequence_name(table);
    bool known = false;
    if (stored.ok()) {
      const auto found = stored->record.tables().find(name);
      known = found != stored->record.tables().end() && found->second.type() == "sequence";
      if (found != stored->record.tables().end() && !known) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("{}.{}, which would be the sequence of table {}, is something else in the vschema",
                                   keyspace, name, table));
      }
    }
    if (tables.contains(name) && !known) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("{}.{}, which would be the sequence of table {}, exists and is no sequence of the "
                                 "vschema: give it the type sequence there, or another name",
                                 keyspace, name, table));
    }
  }
  co_return Status{};
}

net::Task<Status> CreateOperation::create_sequences() {
  const std::string& keyspace = plan_.global_keyspace;
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await primary_of_only_shard(tablets_, keyspace));
  CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets_, tablet));
  const std::map<std::string, bool> tables(present.begin(), present.end());
  std::string made;
  std::string named;
  for (const auto& [table, column] : plan_.numbered) {
    if (!tables.contains(sequence_name(table))) made += sequence_name(table) + "\n";
  }
  auto stored = co_await topo::get_vschema(topology(), keyspace);
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  for (const auto& [table, column] : plan_.numbered) {
    if (!stored.ok() || !stored->record.tables().contains(sequence_name(table))) named += sequence_name(table) + "\n";
  }
  CO_ASSIGN_OR_RETURN(const auto target, co_await topo::get_vschema(topology(), record().target_keyspace()));
  std::string numbered;
  for (const auto& [table, column] : plan_.numbered) {
    const auto found = target.record.tables().find(table);
    if (found != target.record.tables().end() && !found->second.has_auto_increment()) numbered += table + "\n";
  }
  CO_RETURN_IF_ERROR(co_await note(kStep, "keyspace", keyspace));
  CO_RETURN_IF_ERROR(co_await note(kStep, "made", made));
  CO_RETURN_IF_ERROR(co_await note(kStep, "named", named));
  CO_RETURN_IF_ERROR(co_await note(kStep, "numbered", numbered));
  for (const auto& [table, column] : plan_.numbered) {
    const std::string name = mysqld::quote_identifier(sequence_name(table));
    CO_RETURN_IF_ERROR(co_await execute(tablets_, tenure_.fence(), tablet,
                                        fmt::format("create table if not exists {} (id bigint not null, next_id "
                                                    "bigint, cache bigint, primary key (id)) comment "
                                                    "'vitess_sequence'",
                                                    name)));
    CO_RETURN_IF_ERROR(
        co_await execute(tablets_, tenure_.fence(), tablet,
                         fmt::format("insert ignore into {} (id, next_id, cache) values (0, 1, 1000)", name)));
  }
  auto global = co_await topo::update_vschema_fields(
      topology(), keyspace,
      [&](::vschema::Keyspace& vschema) -> Result<bool> {
        bool changed = false;
        for (const auto& [table, column] : plan_.numbered) {
          if (vschema.tables().contains(sequence_name(table))) continue;
          (*vschema.mutable_tables())[sequence_name(table)].set_type("sequence");
          changed = true;
        }
        return changed;
      },
      tenure_.guard());
  if (!global.ok()) co_return std::move(global).error();
  auto updated = co_await topo::update_vschema_fields(
      topology(), record().target_keyspace(),
      [&](::vschema::Keyspace& vschema) -> Result<bool> {
        bool changed = false;
        for (const auto& [table, column] : plan_.numbered) {
          const auto found = vschema.mutable_tables()->find(table);
          if (found == vschema.mutable_tables()->end() || found->second.has_auto_increment()) continue;
          found->second.mutable_auto_increment()->set_column(column);
          found->second.mutable_auto_increment()->set_sequence(keyspace + "." + sequence_name(table));
          changed = true;
        }
        return changed;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CreateOperation::remove_created_sequences() {
  const auto keyspace = noted(kStep, "keyspace");
  if (keyspace.empty()) co_return Status{};
  const auto numbered = noted(kStep, "numbered");
  auto updated = co_await topo::update_vschema_fields(
      topology(), record().target_keyspace(),
      [&](::vschema::Keyspace& vschema) -> Result<bool> {
        for (const auto& table : numbered) {
          const auto found = vschema.mutable_tables()->find(table);
          if (found != vschema.mutable_tables()->end()) found->second.clear_auto_increment();
        }
        return !numbered.empty();
      },
      tenure_.guard());
  if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
  auto named = noted(kStep, "named");
  if (!named.empty()) {
    CO_RETURN_IF_ERROR(co_await remove_from_vschema(topology(), tenure_.guard(), keyspace.front(), std::move(named)));
  }
  auto made = noted(kStep, "made");
  if (!made.empty()) {
    CO_ASSIGN_OR_RETURN(const auto tablet, co_await primary_of_only_shard(tablets_, keyspace.front()));
    CO_RETURN_IF_ERROR(co_await drop_tables(tablets_, tenure_.fence(), tablet, std::move(made), false));
  }
  co_return co_await topo::rebuild_srv_vschema(topology());
}

}  // namespace vitrail::control
