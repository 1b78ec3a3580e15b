#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "movement/engine.h"
#include "net/cancel.h"
#include "net/task.h"
#include "rpc/client.h"
#include "rpc/typed.h"

namespace vtgate {
class VStreamRequest;
class VStreamResponse;
}  // namespace vtgate

namespace vitrail::gate {

struct View;

// What all streams of a vtgate share. All of it outlives them.
struct VStreamContext {
  movement::SourcePicker& sources;
  rpc::ChannelPool& channels;
  std::shared_ptr<const View> view;  // Of the moment when the stream begins.
};

// vtgateservice.VStream: what is changed in the tables of some shards, as one stream of events, from positions on that
// the stream itself has told (docs/users/vstream.md).
//
// Each shard is read by a coroutine of its own from one of its tablets, which is replaced when it fails. A transaction
// of a shard is sent as a whole, with the position of all shards behind it (VGTID); one that is larger than
// transaction_chunk_size in pieces, between which nothing else is sent.
//
// A shard without a position is copied first: table by table, in the order of their names, in chunks that are each read
// in a snapshot of its own. Before a chunk the changes of what was copied are sent up to that snapshot.
//
//   Threads : the loop on which it is called.
//   Bounds  : for each shard 4 MiB of events that have arrived, a transaction up to transaction_chunk_size, and two
//             chunks of 1 MiB.
//   Ends    : with `cancel`; with an error when a position is gone, or the request makes no sense.
net::Task<Status> run_vstream(VStreamContext context, ::vtgate::VStreamRequest request,
                              rpc::TypedWriter<::vtgate::VStreamResponse> writer, net::CancelToken cancel);

}  // namespace vitrail::gate
