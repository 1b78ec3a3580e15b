// Validations that compare what the servers of a keyspace have: schema, accounts, versions.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "control/method.h"
#include "control/schema.h"
#include "control/tablet_vars.h"
#include "control/validate.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
using Problems = std::vector<std::string>;

constexpr size_t kConcurrency = 16;

std::string name_of(const ::topodata::Tablet& tablet) { return topo::alias_to_string(tablet.alias()); }

// What one tablet has. `value` is absent when it could not be asked.
template <typename T>
struct Reading {
  ::topodata::Tablet tablet;
  std::optional<T> value;
  std::string problem;
};

template <typename T>
using Reader = net::Task<Result<T>> (*)(TabletClient& client, ::topodata::Tablet tablet, const SchemaFilter& filter);

template <typename T>
net::Task<void> read_worker(TabletClient& client, std::vector<Reading<T>>& readings, size_t& next, Reader<T> read,
                            const SchemaFilter& filter) {
  while (next < readings.size()) {
    auto& reading = readings[next++];
    auto value = co_await read(client, reading.tablet, filter);
    if (value.ok())
      reading.value = std::move(*value);
    else
      reading.problem = value.error().message();
  }
}

// Asks all tablets, a bounded number at a time.
template <typename T>
net::Task<std::vector<Reading<T>>> read_all(TabletClient& client, std::vector<::topodata::Tablet> tablets,
                                            Reader<T> read, SchemaFilter filter = {}) {
  std::vector<Reading<T>> readings;
  for (auto& tablet : tablets) readings.push_back({std::move(tablet), std::nullopt, ""});
  size_t next = 0;
  std::vector<net::Task<void>> workers;
  for (size_t i = 0; i < std::min(kConcurrency, readings.size()); ++i) {
    workers.push_back(read_worker<T>(client, readings, next, read, filter));
  }
  co_await net::when_all(std::move(workers));
  co_return readings;
}

// The primary first; tablets whose server is not in use (being restored and so on) are left out.
std::vector<::topodata::Tablet> comparable(const topo::ShardInfo& shard, const TabletIndex& index) {
  std::vector<::topodata::Tablet> out;
  for (const auto& tablet : index.of(shard.keyspace, shard.name)) {
    const bool primary =
        shard.record.has_primary_alias() && topo::same_alias(tablet.alias(), shard.record.primary_alias());
    if (primary) out.insert(out.begin(), tablet);
    if (!primary && topo::is_replica_type(tablet.type())) out.push_back(tablet);
  }
  return out;
}

bool starts_with_primary(const topo::ShardInfo& shard, const std::vector<::topodata::Tablet>& tablets) {
  return shard.record.has_primary_alias() && !tablets.empty() &&
         topo::same_alias(tablets.front().alias(), shard.record.primary_alias());
}

// The shards that are named, or all.
net::Task<Result<std::map<std::string, topo::ShardInfo>>> chosen_shards(TabletClient& client, std::string keyspace,
                                                                        std::vector<std::string> names) {
  CO_ASSIGN_OR_RETURN(auto shards, co_await topo::find_all_shards(client.topology(), keyspace));
  for (const auto& name : names) {
    if (!shards.contains(name)) {
      co_return fail(Code::kNotFound, "shard " + keyspace + "/" + name + " does not exist in the topology");
    }
  }
  if (!names.empty()) {
    std::erase_if(shards, [&](const auto& item) { return std::ranges::find(names, item.first) == names.end(); });
  }
  co_return shards;
}

net::Task<Result<std::string>> read_one_version(TabletClient&, ::topodata::Tablet tablet, const SchemaFilter&) {
  return read_version(std::move(tablet), net::Wait::within(15s));
}

net::Task<Result<tmd::SchemaDefinition>> read_one_schema(TabletClient& client, ::topodata::Tablet tablet,
                                                         const SchemaFilter& filter) {
  return read_schema(client, std::move(tablet), filter);
}

net::Task<Result<tmd::Permissions>> read_permissions(TabletClient& client, ::topodata::Tablet tablet,
                                                     const SchemaFilter&) {
  CO_ASSIGN_OR_RETURN(auto done,
                      co_await client.call<tmd::GetPermissionsResponse>(
                          std::move(tablet), "GetPermissions", tmd::GetPermissionsRequest(), net::Wait::within(30s)));
  co_return std::move(*done.mutable_permissions());
}

// "user@host" -> what it may do, as one comparable text.
std::map<std::string, std::string> flatten(const tmd::Permissions& permissions) {
  std::map<std::string, std::string> out;
  const auto text = [](const auto& privileges) {
    return fmt::format("{}", fmt::join(std::map<std::string, std::string>(privileges.begin(), privileges.end()), ", "));
  };
  for (const auto& user : permissions.user_permissions()) {
    out["user " + user.user() + "@" + user.host()] =
        fmt::format("password {:x}, {}", user.password_checksum(), text(user.privileges()));
  }
  for (const auto& db : permissions.db_permissions()) {
    out["database " + db.db() + " for " + db.user() + "@" + db.host()] = text(db.privileges());
  }
  return out;
}

void diff_permissions(const Reading<tmd::Permissions>& left, const Reading<tmd::Permissions>& right, Problems& out) {
  const auto left_all = flatten(*left.value), right_all = flatten(*right.value);
  const std::string left_name = name_of(left.tablet), right_name = name_of(right.tablet);
  for (const auto& [what, text] : left_all) {
    const auto other = right_all.find(what);
    if (other == right_all.end()) {
      out.push_back(fmt::format("{} has an extra {}", left_name, what));
    } else if (other->second != text) {
      out.push_back(fmt::format("permissions differ on {}:\n{}: {}\n differs from:\n{}: {}", what, left_name, text,
                                right_name, other->second));
    }
  }
  for (const auto& [what, text] : right_all) {
    if (!left_all.contains(what)) out.push_back(fmt::format("{} has an extra {}", right_name, what));
  }
}

std::vector<std::string> tables_not_in(const ::vschema::Keyspace& vschema, const tmd::SchemaDefinition& schema) {
  std::vector<std::string> out;
  for (const auto& table : schema.table_definitions()) {
    if (!vschema.tables().contains(table.name())) out.push_back(table.name());
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

net::Task<Result<vd::ValidateSchemaKeyspaceResponse>> validate_schema(TabletClient& client,
                                                                      vd::ValidateSchemaKeyspaceRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await chosen_shards(client, request.keyspace(), strings(request.shards())));
  CO_ASSIGN_OR_RETURN(const auto index, co_await read_tablets(client, request.keyspace()));
  vd::ValidateSchemaKeyspaceResponse out;
  out.mutable_results()->Add(index.problems.begin(), index.problems.end());
  if (shards.empty()) out.add_results("no shards in keyspace " + request.keyspace());
  SchemaFilter filter{.exclude = strings(request.exclude_tables()), .include_views = request.include_views()};
  std::optional<Reading<tmd::SchemaDefinition>> reference;  // The first primary's.
  for (const auto& [name, shard] : shards) {
    auto& results = *(*out.mutable_results_by_shard())[name].mutable_results();
    const auto tablets = comparable(shard, index);
    if (!starts_with_primary(shard, tablets)) {
      if (!request.skip_no_primary()) {
        results.Add("no primary in shard " + request.keyspace() + "/" + name);
      }
      continue;
    }
    auto readings = co_await read_all<tmd::SchemaDefinition>(client, tablets, read_one_schema, filter);
    const auto compare = [&](const auto& left, const auto& right) {
      for (auto& text : diff_schemas(name_of(left.tablet), *left.value, name_of(right.tablet), *right.value)) {
        results.Add(std::move(text));
      }
    };
    for (const auto& reading : readings) {
      if (!reading.value) {
        results.Add(std::string(reading.problem));
      } else if (&reading == &readings.front()) {
        if (reference) compare(*reference, reading);
      } else if (readings.front().value) {
        compare(readings.front(), reading);
      }
    }
    if (!reference && readings.front().value) reference = std::move(readings.front());
  }
  if (!request.include_vschema()) co_return out;
  vd::ValidateVSchemaRequest more;
  more.set_keyspace(request.keyspace());
  *more.mutable_shards() = request.shards();
  *more.mutable_exclude_tables() = request.exclude_tables();
  more.set_include_views(request.include_views());
  CO_ASSIGN_OR_RETURN(const auto vschema, co_await validate_vschema(client, std::move(more)));
  out.mutable_results()->MergeFrom(vschema.results());
  for (const auto& [name, found] : vschema.results_by_shard()) {
    (*out.mutable_results_by_shard())[name].mutable_results()->MergeFrom(found.results());
  }
  co_return out;
}

net::Task<Result<vd::ValidateVSchemaResponse>> validate_vschema(TabletClient& client,
                                                                vd::ValidateVSchemaRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await chosen_shards(client, request.keyspace(), strings(request.shards())));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(client.topology(), request.keyspace()));
  vd::ValidateVSchemaResponse out;
  std::vector<::topodata::Tablet> primaries;
  for (const auto& [name, shard] : shards) {
    (*out.mutable_results_by_shard())[name];
    auto primary = co_await client.primary_of(request.keyspace(), name);
    if (primary.ok())
      primaries.push_back(std::move(*primary));
    else
      (*out.mutable_results_by_shard())[name].add_results(primary.error().message());
  }
  const SchemaFilter filter{.exclude = strings(request.exclude_tables()), .include_views = request.include_views()};
  const auto readings = co_await read_all<tmd::SchemaDefinition>(client, std::move(primaries), read_one_schema, filter);
  for (const auto& reading : readings) {
    auto& results = (*out.mutable_results_by_shard())[reading.tablet.shard()];
    if (!reading.value) {
      results.add_results(reading.problem);
      continue;
    }
    const auto unknown = tables_not_in(stored.record, *reading.value);
    if (!unknown.empty()) {
      results.add_results(fmt::format("{}/{} has tables that are not in the vschema: [{}]", request.keyspace(),
                                      reading.tablet.shard(), fmt::join(unknown, " ")));
    }
  }
  co_return out;
}

net::Task<Problems> validate_version(TabletClient& client, const topo::ShardInfo& shard, const TabletIndex& tablets) {
  Problems problems;
  const auto members = comparable(shard, tablets);
  if (!starts_with_primary(shard, members)) {
    problems.push_back("no primary in shard " + shard.keyspace + "/" + shard.name);
    co_return problems;
  }
  const auto readings = co_await read_all<std::string>(client, members, read_one_version);
  const auto& primary = readings.front();
  for (const auto& reading : readings) {
    if (!reading.value) {
      problems.push_back("unable to get version: " + reading.problem);
    } else if (primary.value && *reading.value != *primary.value) {
      problems.push_back(fmt::format("primary {} version {} is different than replica {} version {}",
                                     name_of(primary.tablet), *primary.value, name_of(reading.tablet), *reading.value));
    }
  }
  co_return problems;
}

net::Task<Result<Problems>> validate_permissions(TabletClient& client, vd::ValidatePermissionsKeyspaceRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await chosen_shards(client, request.keyspace(), strings(request.shards())));
  CO_ASSIGN_OR_RETURN(const auto index, co_await read_tablets(client, request.keyspace()));
  Problems problems = index.problems;
  std::optional<Reading<tmd::Permissions>> reference;
  for (const auto& [name, shard] : shards) {
    const auto tablets = comparable(shard, index);
    if (!starts_with_primary(shard, tablets)) {
      problems.push_back("no primary in shard " + request.keyspace() + "/" + name);
      continue;
    }
    auto readings = co_await read_all<tmd::Permissions>(client, tablets, read_permissions);
    for (auto& reading : readings) {
      if (!reading.value)
        problems.push_back(reading.problem);
      else if (!reference)
        reference = std::move(reading);
      else
        diff_permissions(*reference, reading, problems);
    }
  }
  co_return problems;
}

}  // namespace vitrail::control
