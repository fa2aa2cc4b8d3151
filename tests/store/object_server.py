"""A small server that speaks S3 over a folder, with injected faults: `python object_server.py ROOT` prints its port.

Every object of bucket B with key K is the file ROOT/B/K. Only what recu-analysis uses is there: GET with a range, HEAD,
PUT (also with If-None-Match, and in parts), DELETE and LIST v2.
"""

import hashlib
import io
import json
import os
import re
import shutil
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

#: The one access key that is accepted, and the number of keys of a page of LIST.
ACCESS_KEY, PAGE = "tester", 7
ROOT = Path(sys.argv[1]) if __name__ == "__main__" else Path()
PARTS = ROOT / ".parts"
LOCK = threading.Lock()
FAULTS: list[dict] = []
COUNTS = {"requests": 0, "read": 0, "written": 0, "faults": 0, "lists": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a header and its body in one packet

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def handle_one(self):
        url = urlsplit(self.path)
        self.bucket, _, self.key = unquote(url.path).lstrip("/").partition("/")
        self.query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.bucket == "-":
            return self.control()
        fault = self.fault()
        if fault == "slow down":
            return self.refuse(503, "SlowDown")
        if fault == "deny":
            return self.refuse(403, "AccessDenied")
        if fault == "stall":
            time.sleep(30)
        if fault == "far away":
            time.sleep(0.03)
        if fault in {"reset", "stall"}:
            return self.hang_up()
        if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
            return self.refuse(403, "InvalidAccessKeyId")
        if not (ROOT / self.bucket).is_dir():
            return self.refuse(404, "NoSuchBucket")
        if fault == "lost reply":  # the work is done, but the client does not hear of it
            self.wfile, kept = io.BytesIO(), self.wfile
            getattr(self, f"serve_{self.command}")()
            self.wfile = kept
            return self.hang_up()
        return getattr(self, f"serve_{self.command}")()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def fault(self):
        with LOCK:
            COUNTS["requests"] += 1
            for each in FAULTS:
                if each["times"] and re.search(each["match"], f"{self.command} {self.path}"):
                    each["times"] -= 1
                    COUNTS["faults"] += 1
                    return each["kind"]
        return None

    def control(self):
        with LOCK:
            if self.command == "POST":
                FAULTS[:] = json.loads(self.body)
                COUNTS.update(dict.fromkeys(COUNTS, 0))
            self.answer(200, json.dumps(COUNTS).encode())

    @property
    def file(self):
        return ROOT / self.bucket / self.key

    def serve_GET(self):
        if not self.key:
            return self.serve_list()
        try:
            file = self.file.open("rb")
        except OSError:
            return self.refuse(404, "NoSuchKey")
        with file:
            stat = os.fstat(file.fileno())
            size, status = stat.st_size, 200
            facts = {"ETag": f'"{stat.st_ino}-{size}"', "Last_Modified": formatdate(stat.st_mtime, usegmt=True)}
            if self.command == "HEAD":
                return self.answer(200, Content_Length=str(size), **facts)
            first, stop = 0, size
            if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, stop, status = int(asked[1]), min(int(asked[2] or size) + 1, size), 206
                if first >= size:
                    return self.refuse(416, "InvalidRange")
                facts["Content_Range"] = f"bytes {first}-{stop - 1}/{size}"
            file.seek(first)
            part = file.read(stop - first)
        with LOCK:
            COUNTS["read"] += len(part)
        return self.answer(status, part, **facts)

    serve_HEAD = serve_GET

    def serve_list(self):
        with LOCK:
            COUNTS["lists"] += 1
        top, prefix, after = ROOT / self.bucket, self.query.get("prefix", ""), self.query.get("continuation-token", "")
        keys, groups = [], set()
        for file in sorted(each for each in top.rglob("*") if each.is_file()):
            key = file.relative_to(top).as_posix()
            if key.startswith(prefix):
                head, delimiter, _ = key[len(prefix) :].partition(self.query.get("delimiter") or "\0")
                groups.add(prefix + head + delimiter) if delimiter else keys.append(key)
        keys = sorted(key for key in keys if key > after)
        page, more = keys[:PAGE], keys[PAGE:]
        parts = [f"<IsTruncated>{'true' if more else 'false'}</IsTruncated><KeyCount>{len(page)}</KeyCount>"]
        parts += [f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"] if more else []
        for key in page:
            stat = (top / key).stat()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stat.st_mtime)) + ".000Z"
            parts.append(
                f'<Contents><Key>{escape(key)}</Key><LastModified>{stamp}</LastModified><ETag>"0"</ETag>'
                f"<Size>{stat.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        parts += [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(groups)]
        self.answer(200, f"<ListBucketResult>{''.join(parts)}</ListBucketResult>".encode())

    def serve_PUT(self):
        with LOCK:
            COUNTS["written"] += len(self.body)
        if "uploadId" in self.query:
            (PARTS / self.query["uploadId"] / f"{int(self.query['partNumber']):06d}").write_bytes(self.body)
            return self.answer(200, ETag=etag(self.body))
        if not self.store(self.body, new=self.headers.get("If-None-Match") == "*"):
            return self.refuse(412, "PreconditionFailed")
        return self.answer(200, ETag=etag(self.body))

    def store(self, content, *, new=False):
        PARTS.mkdir(exist_ok=True)
        temporary = PARTS / os.urandom(8).hex()
        temporary.write_bytes(content)
        with LOCK:
            if new and self.file.exists():
                return False
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(self.file)
        return True

    def serve_POST(self):
        if "delete" in self.query:
            for key in re.findall(r"<Key>(.*?)</Key>", self.body.decode()):
                (ROOT / self.bucket / unescape(key)).unlink(missing_ok=True)
            return self.answer(200, b"<DeleteResult></DeleteResult>")
        if "uploads" in self.query:
            upload = os.urandom(8).hex()
            (PARTS / upload).mkdir(parents=True)
            text = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return self.answer(200, text.encode())
        place = PARTS / self.query["uploadId"]
        if place.is_dir():
            self.store(b"".join(each.read_bytes() for each in sorted(place.iterdir())))
            shutil.rmtree(place)
        result = f"<CompleteMultipartUploadResult><ETag>{etag(b'')}</ETag></CompleteMultipartUploadResult>"
        return self.answer(200, result.encode())

    def serve_DELETE(self):
        if "uploadId" in self.query:
            shutil.rmtree(PARTS / self.query["uploadId"], ignore_errors=True)
        else:
            self.file.unlink(missing_ok=True)
        self.answer(204)


def etag(content):
    return f'"{hashlib.md5(content).hexdigest()}"'


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Connections that a fault has closed are no error."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
