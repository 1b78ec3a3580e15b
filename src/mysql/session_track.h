#pragma once

#include <string_view>

namespace vitrail::mysql {

// Whether an OK of a connection with CLIENT_SESSION_TRACK, whose flags say that session state has changed, announces
// what the connection's next user would meet. MySQL announces the begin and the end of every transaction as well
// (though asked not to), and with session_track_gtids each GTID: that is no such thing. True for what cannot be read.
bool tells_of_state(std::string_view payload);

}  // namespace vitrail::mysql
