# What the public redis image has and a bare Debian one lacks: a folder of its user's
FROM localhost/debian-redis
RUN install -d -o redis -g redis /data
WORKDIR /data
