#pragma once

#include <string>
#include <vector>

#include "control/workflow/engine/record.h"
#include "control/workflow/sides.h"
#include "topo/record.h"
#include "vschema.pb.h"
#include "vschema/traffic_state.h"

// MoveTables of one tenant (--tenant-id): from a keyspace that has the rows of one tenant into one that has those of
// many. The target serves others all the time: nothing of it is denied, nothing of others is touched, and it is the
// keyspace as a whole that leads elsewhere: keyspace routing rules say who serves what names the source.
namespace vitrail::control {

inline constexpr const char* kTenantOption = "tenant_id";

struct Tenant {
  std::string id;
  std::string column;
  std::string literal;  // Of SQL.

  std::string condition() const;  // "`tenant_id` = 7"
};

bool is_tenant(const engine::Record& record);
Tenant tenant_of(const engine::Record& record);
void set_tenant(engine::Record& record, const Tenant& tenant);
// By the target's multi_tenant_spec.
//   kFailedPrecondition: it has none. kInvalidArgument: no such value.
Result<Tenant> read_tenant(const std::string& id, const std::string& keyspace, const ::vschema::Keyspace& vschema);
// A filter, and the tenant's rows of what it selects.
std::string with_tenant(const std::string& filter, const Tenant& tenant);
// Both bring rows of the same name into one keyspace, those of different tenants.
bool are_neighbours(const engine::Record& a, const engine::Record& b);

// Each table has the column, in each of its unique keys: rows of two tenants never have the same key. The source has no
// rows of others: whoever names it will be led away from them.
//   kFailedPrecondition names the table.
net::Task<Status> check_tenant_sources(TabletClient& tablets, Side sources, std::vector<std::string> tables,
                                       Tenant tenant);
// The same keys, and no rows of the tenant.
net::Task<Status> check_tenant_targets(TabletClient& tablets, Side targets, std::vector<std::string> tables,
                                       Tenant tenant);
// Deletes the tenant's rows, so many in a statement.
net::Task<Status> delete_tenant_rows(TabletClient& tablets, ::workflowdata::Fence fence, ::topodata::Tablet tablet,
                                     std::vector<std::string> tables, Tenant tenant, int64_t batch);

// Where `types` of the source (PRIMARY: what has no type, too) are served. Pure, and may be repeated.
void route_tenant(::vschema::KeyspaceRoutingRules& rules, const std::string& source, const std::string& to,
                  const std::vector<::topodata::TabletType>& types);
void delete_tenant_rules(::vschema::KeyspaceRoutingRules& rules, const std::string& source);
// kFailedPrecondition names a rule that leads the source elsewhere.
Status check_tenant_rules(const ::vschema::KeyspaceRoutingRules& rules, const std::string& source);
vschema::TrafficState tenant_state(const std::string& source, const std::string& target,
                                   const std::map<std::string, ::vschema::KeyspaceRoutingRules>& cells,
                                   const ::vschema::KeyspaceRoutingRules& rules);

// The changes of these to the topology; the serving vschema is rebuilt.
net::Task<Status> set_tenant_rules(topo::Server& topology, topo::WriteGuard guard, std::string source, std::string to,
                                   std::vector<::topodata::TabletType> types, std::vector<std::string> cells = {});
net::Task<Status> remove_tenant_rules(topo::Server& topology, topo::WriteGuard guard, std::string source);

}  // namespace vitrail::control
