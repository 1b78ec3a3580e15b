#include "topo/srv_vschema.h"

#include "net/scope.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/record_io.h"
#include "topo/vschema.h"

namespace vitrail::topo {
namespace {

std::string what(std::string_view cell) { return "SrvVSchema of cell " + std::string(cell); }

// One cell of a rebuild.
struct CellTarget {
  std::string cell;
  std::optional<Record> before;
  std::optional<Error> failed;
  bool done = false;
};

net::Task<void> read_target(Server& server, CellTarget& target) {
  auto store = co_await server.store_for_cell(target.cell);
  if (!store.ok()) {
    target.failed = std::move(store).error();
    co_return;
  }
  target.before.reset();
  auto record = co_await (*store)->get(srv_vschema_path());
  if (record.ok())
    target.before = std::move(*record);
  else if (record.error().code() != Code::kNotFound)
    target.failed = std::move(record).error();
}

net::Task<void> write_target(Server& server, CellTarget& target, const std::string& data) {
  if (target.before && target.before->data == data) {
    target.done = true;
    co_return;
  }
  auto store = co_await server.store_for_cell(target.cell);
  if (!store.ok()) {
    target.failed = std::move(store).error();
    co_return;
  }
  auto written = target.before ? co_await (*store)->update(srv_vschema_path(), data, target.before->version)
                               : co_await (*store)->create(srv_vschema_path(), data);
  if (written.ok()) {
    target.done = true;
    co_return;
  }
  // Somebody wrote in between, perhaps from older sources: once more, from the start.
  const Code code = written.error().code();
  if (code != Code::kAborted && code != Code::kNotFound && code != Code::kAlreadyExists) {
    target.failed = std::move(written).error();
  }
}

}  // namespace

net::Task<Result<Versioned<::vschema::SrvVSchema>>> get_srv_vschema(Server& server, std::string cell) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  co_return co_await internal::read_record<::vschema::SrvVSchema>(*store, srv_vschema_path(), what(cell));
}

net::Task<Status> put_srv_vschema(Server& server, std::string cell, ::vschema::SrvVSchema record) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  auto written = co_await store->update(srv_vschema_path(), internal::serialize_record(record), std::nullopt);
  if (!written.ok()) co_return internal::tell(std::move(written).error(), what(cell));
  co_return Status{};
}

net::Task<Status> delete_srv_vschema(Server& server, std::string cell) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  Status removed = co_await store->remove(srv_vschema_path(), std::nullopt);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), what(cell));
  co_return Status{};
}

net::Task<Result<::vschema::SrvVSchema>> build_srv_vschema(Server& server) {
  CO_ASSIGN_OR_RETURN(const auto keyspaces, co_await get_keyspaces(server));
  ::vschema::SrvVSchema built;
  for (const std::string& keyspace : keyspaces) {
    // A directory without Keyspace record (a lock left behind) is no keyspace.
    auto record = co_await get_vschema(server, keyspace);
    if (record.ok()) {
      (*built.mutable_keyspaces())[keyspace] = std::move(record->record);
      continue;
    }
    if (record.error().code() != Code::kNotFound) co_return std::move(record).error();
    auto exists = co_await get_keyspace(server, keyspace);
    if (exists.ok())
      (*built.mutable_keyspaces())[keyspace];
    else if (exists.error().code() != Code::kNotFound)
      co_return std::move(exists).error();
  }
  CO_ASSIGN_OR_RETURN(auto rules, co_await get_routing_rules(server));
  *built.mutable_routing_rules() = std::move(rules.rules);
  CO_ASSIGN_OR_RETURN(auto shard_rules, co_await get_shard_routing_rules(server));
  *built.mutable_shard_routing_rules() = std::move(shard_rules.rules);
  CO_ASSIGN_OR_RETURN(auto keyspace_rules, co_await get_keyspace_routing_rules(server));
  if (keyspace_rules.version) *built.mutable_keyspace_routing_rules() = std::move(keyspace_rules.rules);
  CO_ASSIGN_OR_RETURN(auto mirrors, co_await get_mirror_rules(server));
  if (mirrors.version) *built.mutable_mirror_rules() = std::move(mirrors.rules);
  co_return built;
}

net::Task<Status> rebuild_srv_vschema(Server& server, std::vector<std::string> cells) {
  CO_ASSIGN_OR_RETURN(const auto names, co_await expand_cells(server, std::move(cells)));
  std::vector<CellTarget> targets(names.size());
  for (size_t i = 0; i < names.size(); ++i) targets[i].cell = names[i];
  for (int attempt = 0; attempt < kMaxUpdateAttempts; ++attempt) {
    std::vector<net::Task<void>> reads;
    for (CellTarget& target : targets) {
      if (!target.done && !target.failed) reads.push_back(read_target(server, target));
    }
    if (reads.empty()) break;
    co_await net::when_all(std::move(reads));
    CO_ASSIGN_OR_RETURN(const ::vschema::SrvVSchema built, co_await build_srv_vschema(server));
    const std::string data = internal::serialize_record(built);
    std::vector<net::Task<void>> writes;
    for (CellTarget& target : targets) {
      if (!target.done && !target.failed) writes.push_back(write_target(server, target, data));
    }
    co_await net::when_all(std::move(writes));
  }
  internal::FailureList failures;
  for (const CellTarget& target : targets) {
    if (target.failed)
      failures.add("cell " + target.cell, *target.failed);
    else if (!target.done)
      failures.add("cell " + target.cell, Error(Code::kAborted, "it is changed by others all the time"));
  }
  if (!failures.empty()) co_return failures.error("rebuilding SrvVSchema");
  co_return Status{};
}

net::Task<Status> add_to_srv_vschema(Server& server, std::string cell, std::string keyspace) {
  const auto stored = co_await get_srv_vschema(server, cell);
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return Error(stored.error());
  if (stored.ok() && stored->record.keyspaces().contains(keyspace)) co_return Status{};
  co_return co_await rebuild_srv_vschema(server, {std::move(cell)});
}

}  // namespace vitrail::topo
