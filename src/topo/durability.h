#pragma once

#include <string>
#include <string_view>

#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::topo {

// A keyspace's durability policy: whose acknowledgements a commit on a primary waits for before the client hears of it
// (semi-synchronous replication), so that a write which a client knows of survives the loss of its primary.
class Durability {
 public:
  // "none"     : nobody's.
  // "semi_sync": one replica's.               "semi_sync_with_rdonly_ack" : one replica's or rdonly tablet's.
  // "cross_cell": one replica's in another cell than the primary's.    "cross_cell_with_rdonly_ack": likewise.
  // Empty is "none". Others are kInvalidArgument.
  static Result<Durability> parse(std::string_view policy);
  constexpr Durability() = default;  // "none".

  std::string_view name() const { return name_; }
  // How many tablets must acknowledge a commit on a primary: 0 or 1.
  int acks_needed() const { return needs_ack_ ? 1 : 0; }
  // Does `replica`, by its type and cell, acknowledge what it receives from `primary`?
  bool acknowledges(const ::topodata::Tablet& primary, const ::topodata::Tablet& replica) const;

 private:
  constexpr Durability(std::string_view name, bool needs_ack, bool other_cell, bool rdonly)
      : name_(name), needs_ack_(needs_ack), other_cell_(other_cell), rdonly_(rdonly) {}

  std::string_view name_ = "none";
  bool needs_ack_ = false;
  bool other_cell_ = false;
  bool rdonly_ = false;
};

// The policy in the keyspace's record. kNotFound names the keyspace.
net::Task<Result<Durability>> get_durability(Server& server, std::string keyspace);

}  // namespace vitrail::topo
