#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "net/loop.h"
#include "net/stream_frame.h"

namespace vitrail::net::internal {

class StreamMux;

// One side of a stream: what Socket is made of where it has no descriptor.
//   Threads: those of its mux. Wakes whoever waits in its IoState.
class MuxStream {
 public:
  enum class Step : uint8_t { kDone, kWaiting, kFailed };

  // Known to `mux` from now on; `io` outlives it.
  MuxStream(std::shared_ptr<StreamMux> mux, uint32_t id, IoState& io);
  ~MuxStream() { abort(); }
  MuxStream(const MuxStream&) = delete;
  MuxStream& operator=(const MuxStream&) = delete;

  // Something can be read, if it is the end.
  bool has_input() const { return ended_ || taken_ < inbox_.size() || !arriving_.empty(); }
  // As many bytes as have arrived; 0 at the end of the stream.
  size_t read(std::span<char> buffer);
  // Takes from `data` what the window and the connection have room for. kFailed: nobody reads it.
  Step write(std::string_view& data);
  // The end, on both sides: what was written still arrives there.
  void abort();

  const StreamMux& mux() const { return *mux_; }

 private:
  friend class StreamMux;
  const std::shared_ptr<StreamMux> mux_;
  const uint32_t id_;
  IoState& io_;
  std::string inbox_;  // Arrived, while nobody was there to read it.
  size_t taken_ = 0;   // Bytes of it that were read.
  std::string_view arriving_;
  uint32_t uncredited_ = 0;  // Bytes that have arrived and for which no credit was given yet,
  uint32_t read_ = 0;        // and of them those that were read.
  uint32_t credit_;          // Bytes that may be sent.
  bool waits_for_room_ = false;
  bool ended_ = false;   // By the peer, or by us.
  bool closed_ = false;  // By us: unknown to the mux.
};

// Many streams over one: frames in, bytes of streams out, and the other way round. No I/O.
//
//   Bounds : of each stream no more than its window is held; of all together that is to be sent about kOutputMax,
//   behind
//            which writers wait for their turn, each for a frame at a time.
//   Threads: confined to one loop.
class StreamMux {
 public:
  // Who moves the bytes.
  class Owner {
   public:
    virtual void has_output() = 0;              // Something is to be sent.
    virtual void opened(uint32_t stream) = 0;   // By the peer: make a MuxStream of it at once.
    virtual bool connection_ended() const = 0;  // For who wants to know it before the end has been read.

   protected:
    ~Owner() = default;
  };
  static constexpr size_t kOutputMax = size_t{256} << 10;
  static constexpr size_t kStreamsMax = 16'384;

  // `opens`: ours is the side that opens streams. `peer_window`: of each stream, at the other side.
  StreamMux(Owner& owner, bool opens, uint32_t peer_window);
  StreamMux(const StreamMux&) = delete;
  StreamMux& operator=(const StreamMux&) = delete;

  // A number for a new stream; 0: there can be no more.
  uint32_t open();
  // Bytes of the peer, cut anywhere. kInvalidArgument: they are none of a peer's; the connection is of no use.
  Status receive(std::string_view bytes);
  // The connection has ended: so have all streams.
  void lose();
  bool lost() const { return lost_; }
  bool connection_ended() const { return lost_ || owner_.connection_ended(); }

  bool has_output() const { return !output_.empty(); }
  // Gives what is to be sent in the place of `sent`, whose room is used again.
  void take_output(std::string& sent);
  // All that was taken is sent: the next may write.
  void sent();
  size_t streams() const { return streams_.size(); }

 private:
  friend class MuxStream;
  void put(StreamFrame frame, std::string_view data = {});
  Status on_frame(const StreamFrame& frame);
  static void deliver(MuxStream& stream, std::string_view bytes);
  static void end(MuxStream& stream);
  MuxStream* find(uint32_t stream);

  Owner& owner_;
  const bool opens_;
  const uint32_t peer_window_;
  bool lost_ = false;
  uint32_t newest_ = 0;  // Numbers only grow.
  std::unordered_map<uint32_t, MuxStream*> streams_;
  std::string output_;
  std::deque<uint32_t> waiting_;  // Streams whose writers wait for room.
  std::array<char, kStreamFrameHeader> header_{};
  size_t header_size_ = 0;        // Of what has arrived of a header.
  uint32_t data_stream_ = 0;      // Of the data that arrive,
  uint32_t data_left_ = 0;        // of which so many bytes are missing.
  MuxStream* data_to_ = nullptr;  // During receive(): where they go; null: nowhere.
};

}  // namespace vitrail::net::internal
