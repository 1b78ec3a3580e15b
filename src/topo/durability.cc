#include "topo/durability.h"

#include <array>

#include "topo/keyspace.h"
#include "topo/tablet.h"

namespace vitrail::topo {

Result<Durability> Durability::parse(std::string_view policy) {
  static constexpr std::array<Durability, 5> kKnown{Durability(), Durability("semi_sync", true, false, false),
                                                    Durability("cross_cell", true, true, false),
                                                    Durability("semi_sync_with_rdonly_ack", true, false, true),
                                                    Durability("cross_cell_with_rdonly_ack", true, true, true)};
  if (policy.empty()) return kKnown[0];
  std::string names;
  for (const auto& known : kKnown) {
    if (policy == known.name()) return known;
    names += (names.empty() ? "" : ", ") + std::string(known.name());
  }
  return fail(Code::kInvalidArgument,
              "unknown durability policy \"" + std::string(policy.substr(0, 100)) + "\"; known are: " + names);
}

bool Durability::acknowledges(const ::topodata::Tablet& primary, const ::topodata::Tablet& replica) const {
  if (!needs_ack_ || same_alias(primary.alias(), replica.alias())) return false;
  const auto type = replica.type();
  if (type != ::topodata::PRIMARY && type != ::topodata::REPLICA && !(rdonly_ && type == ::topodata::RDONLY)) {
    return false;
  }
  return !other_cell_ || primary.alias().cell() != replica.alias().cell();
}

net::Task<Result<Durability>> get_durability(Server& server, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(const auto stored, co_await get_keyspace(server, std::move(keyspace)));
  co_return Durability::parse(stored.record.durability_policy());
}

}  // namespace vitrail::topo
