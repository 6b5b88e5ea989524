"""Every constant of the spotter."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpottingOptions:
    """Thresholds and durations of the spotter's rules.

    All values are ours: no paper states thresholds in these units. They were chosen on surrogate videos of people and
    seeds that the benchmark does not use. The motion of a clip in tests/faces was looked at before the rules were
    written, so that these clips are no independent test. Displacements are in percent of the distance between the eyes.

    Attributes:
        rate_hz: Samples per second that the rules look at; faster videos are averaged, slower ones interpolated.
        window_s: Seconds of the past that are kept: what is usual for this face.
        delay_s: An interval is reported at most so long after its apex, and `hop_s`; what comes later may change it.
        hop_s: How often the rules look.
        short_baseline_s: A short movement is one against the median of so many seconds around it.
        long_baseline_s: The same of longer movements.
        short_floor: Smallest displacement of two regions, on average, that a short movement may have.
        long_floor: The same of a longer one.
        noise_factor: How many times the usual displacement of a region, by its median, it has to move.
        turn_share: Displacement of a region that a turn of the head by one degree may fake.
        blink_share: Displacement of a region that a blink may fake.
        gaze_share: Displacement of a region that a glance may fake.
        edge_share: An expression lasts while the face is deformed as at the apex, and by more than this share of it.
        stay_share: A face that stays deformed by more than this share of the apex has moved, and expressed nothing.
        valley_share: Two apexes are two expressions if the deformation between them falls below this share.
        shortest_s: Shortest expression, from onset to offset.
        longest_s: Longest expression.
        closed_share: Opening of the lids, as a share of the usual one, below which a blink is.
        open_share: Opening from which on it is over.
        gaze_shift: Movement of both irises.
        mouth_reversal: A movement of the mouth has turned back if it has gone back by this.
        speech_reversals: So many within `speech_window_s` are speech.
        speech_window_s: See there.
        speech_shortest_s: Shortest speech.
        speech_gap_s: A pause of speech that is shorter is part of it.
        turn_degrees: Yaw, pitch or roll of a head that turns.
        turn_shift: Shift of a head that leans, in distances between the eyes.
        turn_scale: Change of its size in percent: it comes closer or goes away.
        margin_s: Around a blink or a glance, in which what it may fake counts less.
        pause_s: Around speech and turns, in which no expression is looked for.
    """

    rate_hz: float = 40.0
    window_s: float = 24.0
    delay_s: float = 4.5
    hop_s: float = 1.0
    short_baseline_s: float = 2.0
    long_baseline_s: float = 8.0
    short_floor: float = 0.4
    long_floor: float = 0.8
    noise_factor: float = 4.0
    turn_share: float = 0.4
    blink_share: float = 0.6
    gaze_share: float = 0.3
    edge_share: float = 0.1
    stay_share: float = 0.7
    valley_share: float = 0.5
    shortest_s: float = 0.1
    longest_s: float = 4.2
    closed_share: float = 0.65
    open_share: float = 0.85
    gaze_shift: float = 0.8
    mouth_reversal: float = 0.8
    speech_reversals: int = 4
    speech_window_s: float = 1.2
    speech_shortest_s: float = 0.6
    speech_gap_s: float = 0.7
    turn_degrees: float = 2.5
    turn_shift: float = 0.08
    turn_scale: float = 6.0
    margin_s: float = 0.12
    pause_s: float = 0.3

    @property
    def longest_wait_s(self) -> float:
        """Maximum detection latency in seconds: from a frame until an interval containing it is reported."""
        return self.window_s + self.hop_s
