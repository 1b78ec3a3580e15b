#include "topo/srv_vschema.h"

#include <optional>

#include "net/scope.h"
#include "net/sync.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/record_io.h"
#include "topo/vschema.h"

namespace vitrail::topo {
namespace {

std::string what(std::string_view cell) { return "SrvVSchema of cell " + std::string(cell); }

// The sources as one read: whoever asks gets what was read from a moment behind his question on, together with all who
// have asked before that moment.
struct SharedBuild {
  net::Mutex mutex;
  int64_t asked = 0;
  int64_t answered = 0;  // The questions that `built` is an answer to.
  std::optional<Result<std::string>> built;
};

net::Task<Result<std::string>> build_shared(Server& server, SharedBuild& shared) {
  const int64_t mine = ++shared.asked;
  CO_ASSIGN_OR_RETURN(const auto turn, co_await shared.mutex.lock({}));
  if (shared.answered < mine) {
    shared.answered = shared.asked;
    auto built = co_await build_srv_vschema(server);
    shared.built = built.ok() ? Result<std::string>(internal::serialize_record(*built)) : std::move(built).error();
  }
  if (!shared.built->ok()) co_return Error(shared.built->error());
  co_return **shared.built;
}

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

// By itself: a cell whose store does not answer holds up no other.
net::Task<void> rebuild_cell(Server& server, SharedBuild& sources, CellTarget& target) {
  for (int attempt = 0; attempt < kMaxUpdateAttempts && !target.done && !target.failed; ++attempt) {
    co_await read_target(server, target);
    if (target.failed) co_return;
    const auto data = co_await build_shared(server, sources);
    if (!data.ok()) {
      target.failed = Error(data.error());
      co_return;
    }
    co_await write_target(server, target, *data);
  }
  if (!target.done && !target.failed) target.failed = fail(Code::kAborted, "it is changed by others all the time");
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
  SharedBuild sources;
  std::vector<net::Task<void>> tasks;
  for (CellTarget& target : targets) tasks.push_back(rebuild_cell(server, sources, target));
  co_await net::when_all(std::move(tasks));
  internal::FailureList failures;
  for (const CellTarget& target : targets) {
    if (target.failed) failures.add("cell " + target.cell, *target.failed);
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
