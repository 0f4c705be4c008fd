/** A session's files, and recordings of its desktop. */

import { client, done, outcome } from "./call";
import type { FileList, RecordingList, RecordingState } from "./types";

const session = (id: string) => ({ params: { path: { session_id: id } } });

export const files = {
  list: (id: string): Promise<FileList> => outcome(client.GET("/api/v1/sessions/{session_id}/files", session(id))),
  address: (id: string, name: string): string => `/api/v1/sessions/${encodeURIComponent(id)}/files/${encodeURIComponent(name)}`,
};

export const recordings = {
  list: (id: string): Promise<RecordingList> => outcome(client.GET("/api/v1/sessions/{session_id}/desktop/recordings", session(id))),
  set: (id: string, on: boolean): Promise<RecordingState> =>
    outcome(client.POST("/api/v1/sessions/{session_id}/desktop/recording", { ...session(id), body: { on } })),
  remove: (id: string, recordingId: string): Promise<void> =>
    done(
      client.DELETE("/api/v1/sessions/{session_id}/desktop/recordings/{recording_id}", {
        params: { path: { session_id: id, recording_id: recordingId } },
      }),
    ),
  /** Stays the same file while more is recorded. */
  address: (id: string, recordingId: string, pieces: number): string =>
    `/api/v1/sessions/${encodeURIComponent(id)}/desktop/recordings/${recordingId}?pieces=${pieces}`,
};
