import time, resource
def test_a(tenant):
    w=tenant.workflow()
    for levels,count in ((10,100),(61,300_000),(61,1_000_000),(61,4_000_000)):
        body=b'{"data":{"a":'+b'['*levels+b"1,"*count+b"1"+b']'*levels+b'}}'
        t=time.time()
        r=tenant.ana.send(tenant.at(w)+"/versions",body)
        print(levels,count,len(body),r.status_code,r.text[:600],time.time()-t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024,"MB")
