#include "topo/keyspace.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "topo/cells.h"
#include "topo/durability.h"
#include "topo/record_io.h"
#include "topo/tablet.h"
#include "vschema.pb.h"

namespace vitrail::topo {
namespace {

std::string keyspace_what(std::string_view keyspace) { return "keyspace " + std::string(keyspace); }

}  // namespace

net::Task<Result<std::vector<std::string>>> get_keyspaces(Server& server) {
  return internal::names_below(server.global(), std::string(kKeyspacesDir));
}

net::Task<Result<Versioned<::topodata::Keyspace>>> get_keyspace(Server& server, std::string keyspace) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  co_return co_await internal::read_record<::topodata::Keyspace>(server.global(), keyspace_path(keyspace),
                                                                 keyspace_what(keyspace));
}

namespace {

// What servers take as the name of a database and what is nobody else's.
Status check_sidecar_name(const std::string& name) {
  constexpr std::string_view kSystem[] = {"mysql", "sys", "information_schema", "performance_schema"};
  const bool odd =
      std::ranges::any_of(name, [](unsigned char c) { return c < 0x20 || c == '/' || c == '\\' || c == '.'; });
  if (!odd && name.size() <= 64 && !name.ends_with(' ') && !name.starts_with("vt_") &&
      std::ranges::find(kSystem, name) == std::end(kSystem)) {
    return {};
  }
  return fail(Code::kInvalidArgument, "invalid sidecar database name \"" + name +
                                          "\": give the name of a database that is for the tablets' own tables alone");
}

}  // namespace

net::Task<Status> create_keyspace(Server& server, std::string keyspace, ::topodata::Keyspace record,
                                  bool with_vschema) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  if (keyspace.contains('.')) {  // It ends the keyspace in "keyspace.table", and Vitess does not read such a record.
    co_return fail(Code::kInvalidArgument, "invalid keyspace name \"" + keyspace + "\": it may not contain a '.'");
  }
  if (auto policy = Durability::parse(record.durability_policy()); !policy.ok()) co_return std::move(policy).error();
  if (record.keyspace_type() == ::topodata::SNAPSHOT &&
      (record.base_keyspace().empty() || !record.has_snapshot_time())) {
    co_return fail(Code::kInvalidArgument,
                   "keyspace " + keyspace + ": a SNAPSHOT keyspace needs a base keyspace and a snapshot time");
  }
  if (record.sidecar_db_name().empty()) record.set_sidecar_db_name(std::string(kDefaultSidecarDb));
  CO_RETURN_IF_ERROR(check_sidecar_name(record.sidecar_db_name()));
  if (record.durability_policy().empty()) record.set_durability_policy(std::string(kDefaultDurability));
  auto created = co_await server.global().create(keyspace_path(keyspace), internal::serialize_record(record));
  if (!created.ok()) co_return internal::tell(std::move(created).error(), keyspace_what(keyspace));
  if (!with_vschema) co_return Status{};
  auto vschema = co_await server.global().create(keyspace_vschema_path(keyspace),
                                                 internal::serialize_record(::vschema::Keyspace()));
  if (!vschema.ok() && vschema.error().code() != Code::kAlreadyExists) {
    co_return internal::tell(std::move(vschema).error(), "VSchema of " + keyspace_what(keyspace));
  }
  co_return Status{};
}

net::Task<Result<::topodata::Keyspace>> update_keyspace_fields(Server& server, const KeyspaceLock& lock,
                                                               UpdateFn<::topodata::Keyspace> fn) {
  auto updated = co_await internal::update_record<::topodata::Keyspace>(server.global(), keyspace_path(lock.keyspace()),
                                                                        keyspace_what(lock.keyspace()), std::move(fn),
                                                                        lock.fence(), false);
  if (!updated.ok()) co_return std::move(updated).error();
  co_return std::move(updated->record);
}

net::Task<Status> set_keyspace_durability(Server& server, const KeyspaceLock& lock, std::string policy) {
  if (auto known = Durability::parse(policy); !known.ok()) co_return std::move(known).error();
  UpdateFn<::topodata::Keyspace> set = [policy](::topodata::Keyspace& record) -> Result<bool> {
    record.set_durability_policy(policy);
    return true;
  };
  auto updated = co_await update_keyspace_fields(server, lock, std::move(set));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

const ::topodata::Keyspace::ServedFrom* find_served_from(const ::topodata::Keyspace& record,
                                                         ::topodata::TabletType type) {
  const auto found = std::ranges::find(record.served_froms(), type, &::topodata::Keyspace::ServedFrom::tablet_type);
  return found == record.served_froms().end() ? nullptr : &*found;
}

Status apply_served_from(::topodata::Keyspace& record, const ServedFromUpdate& update,
                         const std::vector<std::string>& all_cells) {
  const std::string type = tablet_type_to_string(update.type);
  if (!is_serving_type(update.type)) {
    return fail(Code::kInvalidArgument, type + " tablets serve no queries; give primary, replica or rdonly");
  }
  auto& list = *record.mutable_served_froms();
  const auto entry = std::ranges::find(list, update.type, &::topodata::Keyspace::ServedFrom::tablet_type);
  if (entry == list.end()) {
    if (update.source.empty()) return {};
    auto& made = *list.Add();
    made.set_tablet_type(update.type);
    made.set_keyspace(update.source);
    made.mutable_cells()->Add(update.cells.begin(), update.cells.end());
    std::ranges::sort(list, {}, &::topodata::Keyspace::ServedFrom::tablet_type);
    return {};
  }
  std::set<std::string> cells(entry->cells().begin(), entry->cells().end());
  const bool everywhere = cells.empty();
  if (!update.source.empty()) {
    if (entry->keyspace() != update.source) {
      return fail(Code::kFailedPrecondition, fmt::format("inconsistent keyspace specified in migration: {} != {} for "
                                                         "type {}; remove the entry first",
                                                         update.source, entry->keyspace(), type));
    }
    if (everywhere) return {};
    cells.insert(update.cells.begin(), update.cells.end());
    if (update.cells.empty()) cells.clear();
  } else {
    if (update.type == ::topodata::PRIMARY && !update.cells.empty()) {
      return fail(Code::kFailedPrecondition, "cannot migrate only some cells for master removal");
    }
    if (everywhere) cells.insert(all_cells.begin(), all_cells.end());
    for (const auto& cell : update.cells) cells.erase(cell);
    if (cells.empty() || update.cells.empty()) {
      list.erase(entry);
      return {};
    }
  }
  entry->clear_cells();
  entry->mutable_cells()->Add(cells.begin(), cells.end());
  return {};
}

net::Task<Status> update_served_from(Server& server, const KeyspaceLock& lock, ServedFromUpdate update) {
  if (!update.source.empty()) {
    if (update.source == lock.keyspace()) {
      co_return fail(Code::kInvalidArgument, "keyspace " + lock.keyspace() + " cannot be served from itself");
    }
    CO_ASSIGN_OR_RETURN(const auto source, co_await get_keyspace(server, update.source));
    if (find_served_from(source.record, update.type) != nullptr) {
      co_return fail(Code::kInvalidArgument, "keyspace " + update.source + " is itself served from another keyspace");
    }
  }
  CO_ASSIGN_OR_RETURN(const auto all_cells, co_await get_cell_names(server));
  if (!update.cells.empty()) {
    CO_ASSIGN_OR_RETURN(update.cells, co_await expand_cells(server, std::move(update.cells)));
  }
  UpdateFn<::topodata::Keyspace> apply = [&](::topodata::Keyspace& record) -> Result<bool> {
    Status applied = apply_served_from(record, update, all_cells);
    if (!applied.ok()) return std::move(applied).error().with_context(keyspace_what(lock.keyspace()));
    return true;
  };
  auto updated = co_await update_keyspace_fields(server, lock, std::move(apply));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> delete_keyspace(Server& server, const KeyspaceLock& lock) {
  const std::string keyspace = lock.keyspace();
  CO_ASSIGN_OR_RETURN(const auto shards, co_await internal::names_below(server.global(), shards_dir(keyspace)));
  if (!shards.empty()) {
    co_return fail(Code::kFailedPrecondition, keyspace_what(keyspace) + " still has " + std::to_string(shards.size()) +
                                                  " shards, for example " + shards.front() +
                                                  "; delete them first or use --recursive");
  }
  Status removed = co_await server.global().remove(keyspace_path(keyspace), std::nullopt, lock.write_options());
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), keyspace_what(keyspace));
  Status vschema = co_await server.global().remove(keyspace_vschema_path(keyspace), std::nullopt, lock.write_options());
  if (!vschema.ok() && vschema.error().code() != Code::kNotFound) {
    co_return internal::tell(std::move(vschema).error(), "VSchema of " + keyspace_what(keyspace));
  }
  co_return Status{};
}

}  // namespace vitrail::topo
